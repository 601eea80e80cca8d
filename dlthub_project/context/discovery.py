"""Finds the folder of the project that a run belongs to."""

from __future__ import annotations

import os
from pathlib import Path

from dlthub_project.manifest import FILE_NAME

_PROJECT_DIR_VARIABLE = "DLT_PROJECT_DIR"
_WORKSPACE_FILE = Path(".dlt", ".workspace")


def find_project_dir(run_dir: str | None = None) -> Path | None:
    """Return the folder that holds the project's `dlt.yml`, or None outside of a project.

    Args:
        run_dir: The folder to look at, and at no other; None for the folder that
            `DLT_PROJECT_DIR` names, else the nearest one from the working directory upwards.
            A workspace that is nearer than the project stays a workspace.
    """
    explicit = run_dir or os.environ.get(_PROJECT_DIR_VARIABLE)
    # absolute, and without `..`: the folder is compared with others and shown
    folder = Path(os.path.abspath(explicit)) if explicit else _nearest(Path.cwd())
    return folder if folder and (folder / FILE_NAME).is_file() else None


def _nearest(here: Path) -> Path | None:
    """Return the nearest folder, from `here` upwards, of a project or a workspace."""
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file() or (folder / _WORKSPACE_FILE).is_file():
            return folder
    return None


def where_it_was_looked_for(run_dir: str | None = None) -> str:
    """Say where `find_project_dir` looks, for an error that it found nothing."""
    if run_dir:
        return f"there is no {FILE_NAME} in {Path(run_dir).absolute()}"
    if named := os.environ.get(_PROJECT_DIR_VARIABLE):
        return f"there is no {FILE_NAME} in {named}, which {_PROJECT_DIR_VARIABLE} names"
    if workspace := _nearest(Path.cwd()):
        return f"{Path.cwd()} belongs to the workspace {workspace}, which has no {FILE_NAME}"
    return f"there is no {FILE_NAME} in {Path.cwd()} or in a folder above it"
