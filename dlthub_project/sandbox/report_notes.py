"""What a sandbox notes for reports of its test, also in subprocesses: there are no secrets in it.

Notes say what it has changed in the destinations of the test, what it has blocked in subprocesses,
and the names of the secrets that subprocesses have looked up. The process that has started a
subprocess shows its output. By these names it can look the values up, and mask them.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox.settings import Sandbox, active_sandbox

_BLOCKED = "blocked"
_LOOKED_UP = "looked-up"

# by the folder of the sandbox; a dict for its order
_changes: dict[str, dict[str, None]] = {}
_noted_secrets: set[tuple[str, ...]] = set()


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


def add_to_outer(folder: str, outer: str) -> None:
    """Count what was used in one sandbox as used in another one around it."""
    for change in changed_destinations(folder):
        note(outer, change)


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


def note_secrets_in_subprocesses() -> None:
    """Have a subprocess note the names of the secrets that it looks up from now on."""
    # imported here: sessions that do not use dlt make reports, too
    from dlthub_project.dlt_internals import configuration

    if _note_secret not in configuration.secret_listeners:
        configuration.secret_listeners.append(_note_secret)


def _note_secret(path: tuple[str, ...]) -> None:
    sandbox = active_sandbox()
    if sandbox is None or not sandbox.is_inherited or (sandbox.folder, *path) in _noted_secrets:
        return
    _noted_secrets.add((sandbox.folder, *path))
    folder = Path(sandbox.folder, _LOOKED_UP)
    os.makedirs(folder, exist_ok=True)
    with open(folder / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(path) + "\n")


def secrets_of_subprocesses(folder: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the secrets that subprocesses in the sandbox in `folder` looked up."""
    for file in sorted(Path(folder, _LOOKED_UP).glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield tuple(json.loads(line))
