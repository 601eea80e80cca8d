"""Notes what a sandbox has changed in the destinations of a test, for the report of a failure."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox.settings import Sandbox

_BLOCKED = "blocked"

# by the folder of the sandbox; a dict for its order
_changes: dict[str, dict[str, None]] = {}


def changed_destinations(folder: str) -> list[str]:
    """Return what the sandbox in `folder` changed, in order of use.

    Lines such as `warehouse (postgres) -> DuckDB <path>` or `staging lake dropped`. There are no
    credentials in them.
    """
    return list(_changes.get(folder, ()))


def note(folder: str, change: str) -> None:
    """Remember a change that a sandbox made."""
    _changes.setdefault(folder, {})[change] = None


def note_dropped_staging(change: str | None, name: str, folder: str) -> None:
    """Remember that a staging area is dropped, and forget what was to stand for it."""
    if change is not None:
        _changes.get(folder, {}).pop(change, None)
    note(folder, f"staging {name} dropped")


def hand_on(folder: str, to_folder: str) -> None:
    """Count what was used in one sandbox as used in another one around it."""
    for change in changed_destinations(folder):
        note(to_folder, change)


def forget(folder: str) -> None:
    """Drop what is remembered of a sandbox that has ended."""
    _changes.pop(folder, None)


def note_blocked(sandbox: Sandbox, error: RemoteDestinationBlocked) -> None:
    """Write down what is blocked in a subprocess: its test may see no more than an exit status."""
    if not sandbox.is_inherited:
        return
    folder = Path(sandbox.folder, _BLOCKED)
    os.makedirs(folder, exist_ok=True)
    # written as a whole: the test may read it at any time
    written = folder / f"{uuid.uuid4().hex}.part"
    written.write_text(str(error), encoding="utf-8")
    written.replace(written.with_suffix(".txt"))


def blocked_in_subprocesses(folder: str) -> list[str]:
    """Return what was blocked for subprocesses in the sandbox in `folder`, each once, with remedy.

    They have no credentials in them. A sandbox of an example of Hypothesis is in that of its test.
    """
    found_in = [*Path(folder).glob(f"{_BLOCKED}/*.txt"), *Path(folder).glob(f"*/{_BLOCKED}/*.txt")]
    notes = sorted(found_in, key=lambda note: note.stat().st_mtime_ns)
    found = (note.read_text(encoding="utf-8") for note in notes)
    return [f"blocked in a subprocess: {text}" for text in dict.fromkeys(found)]
