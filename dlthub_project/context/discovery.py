"""Finds the folder of a project, installed projects, and the profiles of a project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from dlthub_project.errors import ProfileNotFound, known_names
from dlthub_project.manifest import (
    FILE_NAME,
    IMPLICIT_PROFILES,
    Document,
    declared_profiles,
    default_profile,
)

_PROJECT_DIR_VARIABLE = "DLT_PROJECT_DIR"
_WORKSPACE_FILE = Path(".dlt", ".workspace")


_GROUP = "dlt_package"

FOLDER_VARIABLES = {"data_dir": "DLT_DATA_DIR", "local_dir": "DLT_LOCAL_DIR"}
"""dlt's own variables for folders, by the setting that they replace."""
PROFILE_VARIABLE = "WORKSPACE__PROFILE"
PIN_FILE = "profile-name"
_TOML_FILES = ("config.toml", "secrets.toml")


def settings_folder() -> str:
    """Return the name of the folder, within the project's, that has the TOML files."""
    return os.environ.get("DLT_CONFIG_FOLDER") or ".dlt"


def find_project_dir(run_dir: str | None = None) -> Path | None:
    """Return the folder that holds the project's `dlt.yml`, or None outside of a project.

    Args:
        run_dir: The only folder to look at. None for the folder that `DLT_PROJECT_DIR` names,
            else for the nearest one from the working directory upwards. If a workspace is nearer
            than a project, the workspace counts.
    """
    explicit = run_dir or os.environ.get(_PROJECT_DIR_VARIABLE)
    # absolute and without `..`, because the folder is compared with others and printed
    folder = Path(os.path.abspath(explicit)) if explicit else _nearest(Path.cwd())
    return folder if folder and (folder / FILE_NAME).is_file() else None


def _nearest(here: Path) -> Path | None:
    """Return the nearest folder, from `here` upwards, of a project or a workspace."""
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file() or (folder / _WORKSPACE_FILE).is_file():
            return folder
    return None


def searched_folders(run_dir: str | None = None) -> str:
    """Return a clause that says where `find_project_dir` has found no project."""
    if run_dir:
        return f"there is no {FILE_NAME} in {Path(run_dir).absolute()}"
    if named := os.environ.get(_PROJECT_DIR_VARIABLE):
        return f"there is no {FILE_NAME} in {named}, which {_PROJECT_DIR_VARIABLE} names"
    if workspace := _nearest(Path.cwd()):
        return f"{Path.cwd()} belongs to the workspace {workspace}, which has no {FILE_NAME}"
    return f"there is no {FILE_NAME} in {Path.cwd()} or in a folder above it"


def installed_packages() -> dict[str, Path]:
    """Return the folders of installed packages that are projects, by the names of their modules.

    This imports no package. Packages without a `dlt.yml` are left out.
    """
    found: dict[str, Path] = {}
    for entry in entry_points(group=_GROUP):
        folder = _folder(entry)
        if folder is not None:
            # an environment may list a distribution twice: Python imports the first
            found.setdefault(entry.module, folder)
    return found


def find_package(name: str) -> Path | None:
    """Return the folder of the installed package `name`, or None.

    Args:
        name: The name of its module or of its entry point; hyphens and underscores are the same.
    """
    for entry in entry_points(group=_GROUP):
        if _normalized(name) in (_normalized(entry.module), _normalized(entry.name)):
            folder = _folder(entry)
            if folder is not None:
                return folder
    return None


def _folder(entry: EntryPoint) -> Path | None:
    parts = entry.module.split(".")
    for folder in _candidates(entry, parts):
        if (folder / FILE_NAME).is_file():
            return folder.absolute()
    return None


def _candidates(entry: EntryPoint, parts: list[str]) -> Iterator[Path]:
    # the folder beside the metadata first: the program `dlt` has the working directory on its path,
    # which may have a clone of the package
    if entry.dist is not None:
        yield Path(str(entry.dist.locate_file("")), *parts)
    top, *below = parts
    try:
        # for editable installs. Only the top module, because Python imports `a` to find `a.b`
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    for location in (spec and spec.submodule_search_locations) or ():
        yield Path(location, *below)


def _normalized(name: str) -> str:
    return name.replace("-", "_").lower()


def available_profiles(document: Document, settings_dir: Path) -> list[str]:
    """Return the profiles that can be active: implicit, declared, or with a TOML file."""
    return list(dict.fromkeys((*IMPLICIT_PROFILES, *configured_profiles(document, settings_dir))))


def configured_profiles(document: Document, settings_dir: Path) -> list[str]:
    """Return the profiles that have settings: declared ones, and those with a TOML file."""
    found = dict.fromkeys(declared_profiles(document))
    for suffix in _TOML_FILES:
        for file in sorted(settings_dir.glob(f"?*.{suffix}")):
            found.setdefault(file.name.removesuffix(f".{suffix}"))
    return list(found)


def settings_files(settings_dir: Path) -> list[Path]:
    """Return the TOML files of all profiles that are there."""
    return sorted(
        file
        for suffix in _TOML_FILES
        for pattern in (suffix, f"?*.{suffix}")
        for file in settings_dir.glob(pattern)
    )


def read_pin(settings_dir: Path) -> str | None:
    """Return the profile that the pin file names, or None."""
    try:
        return (settings_dir / PIN_FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def choose_profile(document: Document, settings_dir: Path, explicit: str | None) -> str:
    """Return the profile that becomes active.

    The first of these names it: `explicit`, the environment, the pin file, the manifest. If none
    does, it is `dev`.

    Raises:
        ProfileNotFound: The project does not have the profile.
    """
    candidates = (
        (explicit, "it was asked for"),
        (os.environ.get(PROFILE_VARIABLE), f"{PROFILE_VARIABLE} names it"),
        (read_pin(settings_dir), f"{settings_dir / PIN_FILE} pins it"),
        (default_profile(document), f"it is the default profile of {document.path}"),
    )
    profile, reason = next((name, why) for name, why in candidates if name)
    known = available_profiles(document, settings_dir)
    if profile not in known:
        raise ProfileNotFound(
            f"There is no profile `{profile}` in {document.path} ({reason}). "
            f"{known_names(profile, known)}",
            f"Declare it below `profiles:`, or add {settings_dir / profile}.config.toml.",
        )
    return profile
