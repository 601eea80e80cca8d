"""What is wrong with a project as a whole: under all its profiles, and in its settings files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from tomlkit.exceptions import ParseError

from dlthub_project.context.discovery import (
    available_profiles,
    choose_profile,
    settings_files,
    settings_folder,
)
from dlthub_project.context.project import open_project
from dlthub_project.errors import ManifestError, Problem, ProfileNotFound, ProjectError
from dlthub_project.manifest import FILE_NAME, Document, Manifest, read_document, unset_uses


@dataclass(frozen=True)
class MissingVariable:
    """An environment variable that is used and not set.

    Attributes:
        name: The variable.
        uses: The paths that use it, and where they stand (`file:line:column`).
        profiles: The profiles under which they do.
    """

    name: str
    uses: tuple[tuple[str, str], ...]
    profiles: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What `validate_project` has found.

    Attributes:
        profiles: The profiles that were looked at.
        problems: All mistakes, each once.
        missing: The environment variables that are used and not set.
    """

    profiles: tuple[str, ...]
    problems: tuple[Problem, ...]
    missing: tuple[MissingVariable, ...]


def validate_project(folder: Path, profile: str | None = None) -> Findings:
    """Look for every mistake of the project in `folder`; import nothing of it.

    Args:
        folder: The folder of its `dlt.yml`.
        profile: The only profile to look at; None for all, and for the choice between them.

    Raises:
        ProfileNotFound: The project does not have `profile`.
    """
    settings_dir = folder / settings_folder()
    in_settings = tuple(_problems_of_settings(settings_dir))
    try:
        document = read_document(folder / FILE_NAME)
    except ManifestError as error:
        return Findings((), (*error.problems, *in_settings), ())
    known = available_profiles(document, settings_dir)
    if profile is None:
        chosen = known
        problems = dict.fromkeys(_problems_of_choice(document, settings_dir))
    else:
        chosen = [choose_profile(document, settings_dir, profile)]
        problems = {}
    missing: dict[str, dict[tuple[str, str], None]] = {}
    used_by: dict[str, dict[str, None]] = {}
    for name in chosen:
        manifest = _opened(folder, name, problems)
        for variable, use in _missing(manifest) if manifest else ():
            missing.setdefault(variable, {})[use] = None
            used_by.setdefault(variable, {})[name] = None
    return Findings(
        tuple(chosen),
        (*sorted(problems, key=lambda problem: _order(problem.location)), *in_settings),
        tuple(MissingVariable(v, tuple(missing[v]), tuple(used_by[v])) for v in sorted(missing)),
    )


def _opened(folder: Path, profile: str, problems: dict[Problem, None]) -> Manifest | None:
    try:
        return open_project(folder, profile).manifest
    except ManifestError as error:
        problems.update(dict.fromkeys(error.problems))
    except ProjectError as error:
        problems[Problem(str(folder / FILE_NAME), "", str(error))] = None
    return None


def _order(location: str) -> tuple[Sequence[int], str]:
    parts = location.rsplit(":", 2)[1:]
    return [int(part) for part in parts if part.isdigit()], location


def _problems_of_choice(document: Document, settings_dir: Path) -> Iterator[Problem]:
    try:
        choose_profile(document, settings_dir, None)
    except ManifestError as error:
        yield from error.problems
    except ProfileNotFound as error:
        yield Problem(str(document.path), "", str(error))


def _problems_of_settings(settings_dir: Path) -> Iterator[Problem]:
    for path in settings_files(settings_dir):
        if problem := _problem_of_settings(path):
            yield problem


def _problem_of_settings(path: Path) -> Problem | None:
    try:
        tomlkit.parse(path.read_text(encoding="utf-8"))
    except ParseError as error:
        # without the message of the error, which may quote a secret
        return Problem(f"{path}:{error.line}:{error.col}", "", "is not valid TOML")
    except (OSError, ValueError) as error:
        kind = error.strerror if isinstance(error, OSError) else "its content is not valid"
        return Problem(str(path), "", f"cannot be read: {kind}")
    return None


def _missing(manifest: Manifest) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each variable that is not set, with the path and the place of its use."""
    for path, names in unset_uses(manifest.merged, os.environ):
        problem = manifest.problem(path, "")
        for name in sorted(names):
            yield name, (problem.path, problem.location)
