"""Finds the installed packages that are projects: entry points of group `dlt_package`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from dlthub_project.manifest import FILE_NAME

_GROUP = "dlt_package"


def installed_packages() -> dict[str, Path]:
    """Return the folders of the installed packages that are projects, by the module's name.

    None of them is imported. Those without a `dlt.yml` are left out.
    """
    found: dict[str, Path] = {}
    for entry in entry_points(group=_GROUP):
        folder = _folder(entry)
        if folder is not None:
            # an environment may list a distribution twice: the first is the one that is imported
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
    # beside the metadata first: `dlt` has the working directory on its path, and there may be a
    # clone of the package
    if entry.dist is not None:
        yield Path(str(entry.dist.locate_file("")), *parts)
    top, *below = parts
    try:
        # for editable ones; of the top alone, since Python imports `a` to find `a.b`
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    for location in (spec and spec.submodule_search_locations) or ():
        yield Path(location, *below)


def _normalized(name: str) -> str:
    return name.replace("-", "_").lower()
