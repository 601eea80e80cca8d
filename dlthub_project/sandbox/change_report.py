"""What a sandbox changed about the destinations of a test, for its report when it fails."""

from __future__ import annotations

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
    """Remember that a staging area is dropped, and not what was to stand for it."""
    if change is not None:
        _changes.get(folder, {}).pop(change, None)
    note(folder, f"staging {name} dropped")


def hand_on(folder: str, to_folder: str) -> None:
    """Let what was used in one sandbox count as used in another, around it."""
    for change in changed_destinations(folder):
        note(to_folder, change)


def forget(folder: str) -> None:
    """Drop what is remembered of a sandbox that has ended."""
    _changes.pop(folder, None)
