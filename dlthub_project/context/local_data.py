"""The local data of a profile, and how it is removed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from dlthub_project.context.discovery import configured_profiles
from dlthub_project.context.project import Project, open_project
from dlthub_project.errors import ProjectError


def local_data_of(
    project: Project, *, skip_data_dir: bool = False, is_sandboxed: bool = False
) -> list[Path]:
    """Return the folders with the data of the active profile that are there.

    Args:
        project: The project under the profile.
        skip_data_dir: Leave out the folders of pipelines; only what destinations and temporary
            files have is returned.
        is_sandboxed: The folders are those of a test's sandbox, and nobody else's.

    Raises:
        ProjectError: A folder has more in it than this data: the project, or another profile's.
    """
    names = ["local_dir", "tmp_dir"] if skip_data_dir else ["data_dir", "local_dir", "tmp_dir"]
    found: list[Path] = []
    for name in names:
        folder = Path(getattr(project, name))
        if not is_sandboxed:
            _refuse_more_than_data(project, name, _real(folder))
        # a folder below another one is removed with that
        if folder.is_dir() and not any(_real(folder).is_relative_to(_real(f)) for f in found):
            found.append(folder)
    return found


def remove_local_data(folders: list[Path]) -> None:
    """Remove folders that `local_data_of` has returned.

    Raises:
        ProjectError: A file cannot be removed.
    """
    try:
        for folder in folders:
            shutil.rmtree(_real(folder))
            if folder.is_symlink():
                # the link itself stays, and must not lead nowhere
                _real(folder).mkdir()
    except OSError as error:
        raise ProjectError(
            f"{error.filename} cannot be removed: {error.strerror}.",
            "Close the programs that use it, and try again.",
        ) from error


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _refuse_more_than_data(project: Project, name: str, folder: Path) -> None:
    for kept in (project.root_dir, project.project_dir, project.settings_dir, Path.home()):
        if _real(Path(kept)).is_relative_to(folder):
            raise ProjectError(
                f"`{name}` of profile {project.current_profile} is {folder}, which holds {kept}: "
                "it has more in it than data.",
                "Remove the data by hand, or give the project another folder for it.",
            )
    is_inside = folder.is_relative_to(_real(Path(project.root_dir)))
    if not is_inside and not _names_profile(project, folder):
        raise ProjectError(
            f"`{name}` of profile {project.current_profile} is {folder}, outside of the project, "
            "and its path does not name the profile: nobody knows whose files are there.",
            "Remove the data by hand, or give each profile a folder: `{current_profile}`.",
        )
    for other, used in _folders_of_others(project):
        if used.is_relative_to(folder) or folder.is_relative_to(used):
            raise ProjectError(
                f"`{name}` of profile {project.current_profile} is {folder}, and profile {other} "
                f"has data in {used}.",
                "Remove the data by hand, or give each profile a folder: `{current_profile}`.",
            )


def _names_profile(project: Project, folder: Path) -> bool:
    """Tell whether a folder has the profile in its name, or one above it that is not the project's.

    As a word: `/home/developer` does not name `dev`.
    """
    root = _real(Path(project.root_dir))
    is_elsewhere = folder.anchor != root.anchor  # another drive of Windows
    above = folder.anchor if is_elsewhere else os.path.commonpath([folder, root])
    word = rf"(?<![^\W_]){re.escape(project.current_profile)}(?![^\W_])"
    return any(re.search(word, part) for part in folder.relative_to(above).parts)


def _folders_of_others(project: Project) -> Iterator[tuple[str, Path]]:
    root = Path(project.root_dir)
    for other in configured_profiles(project.manifest.document, Path(project.settings_dir)):
        if other == project.current_profile:
            continue
        try:
            opened = open_project(root, other)
        except ProjectError:
            # a profile that cannot be opened has loaded nothing
            continue
        for folder in (opened.data_dir, opened.local_dir, opened.tmp_dir):
            yield other, _real(Path(folder))
