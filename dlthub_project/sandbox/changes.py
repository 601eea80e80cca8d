"""What a sandbox changed about the destinations of a test, for its report when it fails."""

from __future__ import annotations

from typing import Any

_CHANGE = "_dlthub_change"

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


def describe(destination: Any, change: str) -> None:
    """Say what `destination`, which stands for another, was made of."""
    setattr(destination, _CHANGE, change)


def note_use(destination: Any, folder: str) -> None:
    """Remember that `destination` is used in a sandbox, if it stands for something else."""
    change = getattr(destination, _CHANGE, None)
    if change is not None:
        note(folder, change)


def note_dropped_staging(staging: Any, name: str, folder: str) -> None:
    """Remember that a staging area is dropped, and that nothing stands for it after all."""
    _changes.get(folder, {}).pop(getattr(staging, _CHANGE, ""), None)
    note(folder, f"staging {name} dropped")


def hand_on(folder: str, to_folder: str) -> None:
    """Let what was used in one sandbox count as used in another, around it."""
    for change in changed_destinations(folder):
        note(to_folder, change)


def forget(folder: str) -> None:
    """Drop what is remembered of a sandbox that has ended."""
    _changes.pop(folder, None)
