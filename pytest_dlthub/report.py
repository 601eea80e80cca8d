"""What the harness tells: the header of a session, and what happened in a failed test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.missing import how_to_give

FAILED = pytest.StashKey[bool]()
FOLDER = pytest.StashKey[Path]()
# connections that a test may have open, see `LoadedRuns`
HELD = pytest.StashKey[Any]()


def header(session: Session) -> str | None:
    """Return the header line of a session that tests a project, else None."""
    if session.root is None:
        return f"dlt: sandbox {session.folder}" if session.isolates_all else None
    from dlthub_project.hub import finder

    if session.is_project and finder.is_dlthub_installed():
        return f"dlt: the package dlthub is installed: {session.root} is left to it"
    kind, file = ("project", "dlt.yml") if session.is_project else ("workspace", ".dlt/.workspace")
    parts = [
        f"{kind} {session.root.name} ({file})",
        f"profile {session.profile} ({session.profile_reason})",
        f"sandbox {session.folder}",
    ]
    return f"dlt: {' · '.join(parts)}"


def release_connections(item: pytest.Item) -> None:
    """Close what a failed test has open: its database can be looked at, as with `--pdb`."""
    if HELD in item.stash:
        item.stash[HELD].release()


def tell_of_test(
    item: pytest.Item, error: BaseException | None, outcome: pytest.TestReport
) -> None:
    """Say in the report of a failed test what it lacks, what its destinations were and its data."""
    folder = item.stash.get(FOLDER, None)
    if folder is None:
        return
    from dlthub_project.sandbox import changed_destinations

    lines = how_to_give(error, item.config.stash[SESSION]) if error is not None else []
    lines += changed_destinations(str(folder))
    if folder.exists() and item.config.getini("dlt_keep") != "none":
        lines.append(f"the data of this test are kept in {folder}")
    if lines:
        outcome.sections.append(("dlt", "\n".join(lines)))
