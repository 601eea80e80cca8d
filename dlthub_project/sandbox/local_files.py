"""Brings files of local destinations into the sandbox that code or configuration have elsewhere.

The place that dlt has resolved decides, and not the text of it: `file:/data`, `local_dir=`,
`%2e%2e` and a symbolic link may all lead to one path.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

from dlthub_project.dlt_internals import destinations as dlt_destinations
from dlthub_project.sandbox import report_notes
from dlthub_project.sandbox.destinations import AnyDestination, has_place, short_type
from dlthub_project.sandbox.settings import Sandbox, lies_in

# below the folder of local files, so that a copy of a loaded sandbox has these files, too
_FOLDER = "outside"
# in characters: Windows opens no longer path by default, and macOS none over 1,023
_LONGEST = 240 if sys.platform == "win32" else 1_000

# the paths outside, by the folder of the sandbox that has them
_brought_in: dict[str, set[str]] = {}


def bring_in(destination: AnyDestination, config: Any, *sandboxes: Sandbox) -> Any:
    """Return the configuration of a destination with its file or folder in the first sandbox.

    The file keeps its name and all the folders above it, so that two files of one name stay two.
    A file that is in one of the sandboxes stays where it is, and so does whatever is not local.

    Args:
        destination: The destination of the configuration.
        config: The configuration that dlt has resolved.
        *sandboxes: The active sandbox, and those around it.
    """
    path = dlt_destinations.local_path(config)
    if path is None or any(sandbox.is_local_path(path) for sandbox in sandboxes):
        return config
    here = path_in(sandboxes[0], path)
    _brought_in.setdefault(sandboxes[0].folder, set()).add(os.path.realpath(path))
    if dlt_destinations.move(config, here):
        name, destination_type = destination.destination_name, short_type(destination)
        change = f"{name} ({destination_type} {path}) -> {here}"
        report_notes.note(sandboxes[0].folder, change)
    return config


def is_brought_in(path: str, *sandboxes: Sandbox) -> bool:
    """Tell whether one of the sandboxes has this file, or a folder around it, in its own place."""
    known = [real for sandbox in sandboxes for real in _brought_in.get(sandbox.folder, ())]
    return bool(known) and lies_in(path, *known)


def forget(folder: str) -> None:
    """Forget what was brought into a sandbox that ends."""
    _brought_in.pop(folder, None)


def path_in(sandbox: Sandbox, path: str) -> str:
    """Return where in a sandbox a file from outside of it is: it keeps its name."""
    real = os.path.realpath(path)
    _, below_root = os.path.splitdrive(real)
    outside = os.path.join(sandbox.local_dir, _FOLDER)
    here = os.path.join(outside, below_root.lstrip("/\\"))
    if len(here) <= _LONGEST:
        return here
    folder, name = os.path.split(real)
    return os.path.join(outside, hashlib.sha256(os.fsencode(folder)).hexdigest()[:16], name)


def make_folders(destination: AnyDestination, config: Any, *sandboxes: Sandbox) -> None:
    """Make the folder of a database file in a sandbox, as it is there in production.

    A relative `data/raw.duckdb` is in a folder of the project.
    """
    path = dlt_destinations.local_path(config)
    if path is None or not any(lies_in(path, sandbox.folder) for sandbox in sandboxes):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    is_named = destination.configured_name or has_place(destination)
    if short_type(destination) == "duckdb" and not is_named:
        # each pipeline has a file of its own
        report_notes.note(sandboxes[0].folder, f"duckdb -> DuckDB {path}")
