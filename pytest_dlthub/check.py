"""Builds every entity of a profile, without secrets and without a connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlthub_project import current
from dlthub_project.context import Project, ensure_project
from dlthub_project.errors import ProjectError
from dlthub_project.manifest import unset_names
from dlthub_project.sandbox import Sandbox, isolated

_PLACEHOLDER = "not-set"


def check_profile(project: Project, profile: str, sandbox: Sandbox) -> None:
    """Build every source factory, destination, dataset and pipeline of `profile`.

    Environment variables that are not set have a placeholder meanwhile. No source function is
    called, and nothing is connected to.

    Args:
        project: The project under any of its profiles.
        profile: The profile to check.
        sandbox: The sandbox to work beside.

    Raises:
        ProjectError: With everything that cannot be built; the first error is its cause.
    """
    with isolated(replace(sandbox, folder=str(Path(sandbox.folder, f"check-{profile}")))):
        for name in unset_names(project.manifest.document.data, os.environ):
            os.environ[name] = _PLACEHOLDER
        ensure_project(project.root_dir, profile)
        failed = list(_failures())
    if failed:
        reasons = "\n".join(f"{what}: {error}" for what, error in failed)
        raise ProjectError(f"Profile {profile} cannot be built:\n{reasons}") from failed[0][1]


def _failures() -> Iterator[tuple[str, Exception]]:
    entities = current.entities()
    # not one by one: each would have all pipelines looked through
    located = entities.datasets.locate_all()

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
    }
    for kind, (names, build) in kinds.items():
        for name in names:
            if error := _error_of(build, name):
                yield f"{kind} {name}", error


def _error_of(build: Callable[[str], Any], name: str) -> Exception | None:
    try:
        build(name)
    except Exception as error:
        return error
    return None
