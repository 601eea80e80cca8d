"""Builds all that a profile declares, without secrets and without a connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlthub_project import current
from dlthub_project.context import Project, ensure_project
from dlthub_project.errors import EntityNotFound, ProjectError, known_names
from dlthub_project.manifest import unset_names
from dlthub_project.sandbox import Sandbox, isolated

_PLACEHOLDER = "not-set"


def check_profile(
    project: Project, profile: str, sandbox: Sandbox, kind: str = "", name: str | None = None
) -> list[str]:
    """Build what a profile declares: sources, destinations, datasets, pipelines and all others.

    Environment variables that are not set have a placeholder meanwhile. No source function is
    called, and nothing is connected to.

    Args:
        project: The project under any of its profiles.
        profile: The profile to check.
        sandbox: The sandbox to work beside.
        kind: The only kind of entities to build, such as `source`; all if empty.
        name: The only one of that kind to build; all if None.

    Returns:
        What was built, such as `source orders`.

    Raises:
        ManifestError: The manifest is not valid under the profile.
        ProfileNotFound: The project does not have it.
        EntityNotFound: There is no entity of this kind and name.
        ProjectError: With everything that cannot be built; the first error is its cause.
    """
    built: list[str] = []
    failed: list[tuple[str, Exception]] = []
    with isolated(replace(sandbox, folder=str(Path(sandbox.folder, f"check-{profile}")))):
        for variable in unset_names(project.manifest.document.data, os.environ):
            os.environ[variable] = _PLACEHOLDER
        ensure_project(project.root_dir, profile)
        for what, build in _to_build(kind, name):
            if error := _error_of(build):
                failed.append((what, error))
            else:
                built.append(what)
    if failed:
        reasons = "\n".join(f"{what}: {error}" for what, error in failed)
        raise ProjectError(f"Profile {profile} cannot be built:\n{reasons}") from failed[0][1]
    return built


def _to_build(kind: str, name: str | None) -> Iterator[tuple[str, Callable[[], Any]]]:
    entities = current.entities()
    # all at once: one by one, each would look through all pipelines
    located = entities.datasets.locate_all() if kind in ("", "dataset") else {}

    def get_dataset(name: str) -> Any:
        where = located[name]
        if isinstance(where, ProjectError):
            raise where
        return entities.get_dataset(name, where.destination_name)

    kinds: dict[str, tuple[list[str], Callable[[str], Any]]] = {
        "source": (entities.list_sources(), entities.get_source),
        "destination": (entities.list_destinations(), entities.get_destination),
        "dataset": (list(located), get_dataset),
        "pipeline": (entities.list_pipelines(), entities.get_pipeline),
        "sources of pipeline": (entities.list_pipelines(), entities.get_pipeline_sources),
        "cache": (entities.list_caches(), entities.get_cache),
        # this looks at its code, and does not run it
        "transformation": (
            entities.list_transformations(),
            lambda name: entities.get_transformation(name).info(),
        ),
    }
    if name is not None and name not in kinds[kind][0]:
        raise EntityNotFound(f"There is no {kind} `{name}`. {known_names(name, kinds[kind][0])}")
    for each, (names, build) in kinds.items():
        for one in names:
            if kind in ("", each) and name in (None, one):
                yield f"{each} {one}", lambda build=build, one=one: build(one)  # type: ignore[misc]  # defaults bind the values of this turn


def _error_of(build: Callable[[], Any]) -> Exception | None:
    try:
        build()
    except Exception as error:
        return error
    return None
