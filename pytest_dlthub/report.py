"""What the harness tells: the header of a session, and what happened in a failed test."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from pytest_dlthub.activation import Session

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


def tell_of_destinations(item: pytest.Item, outcome: pytest.TestReport) -> None:
    """Say in the report of a failed test what its destinations were, and where its data are."""
    folder = item.stash.get(FOLDER, None)
    if folder is None:
        return
    from dlthub_project.sandbox import changed_destinations

    lines = changed_destinations(str(folder))
    if folder.exists() and item.config.getini("dlt_keep") != "none":
        lines.append(f"the data of this test are kept in {folder}")
    if lines:
        outcome.sections.append(("dlt", "\n".join(lines)))


def hide_frames_with_passwords(call: pytest.CallInfo[None]) -> None:
    """Leave the user's frames of a blocked destination: pytest shows the arguments of the last.

    In dlt's frames, and in ours, that is the destination with its credentials.
    """
    error = call.excinfo
    if error is None or error.type.__name__ != "RemoteDestinationBlocked":
        return
    modules = (sys.modules.get(name) for name in ("dlt", "dlthub_project", "pytest_dlthub"))
    folders = [Path(module.__file__).parent for module in modules if module and module.__file__]
    kept: TracebackType | None = None
    for frame, line in reversed(list(traceback.walk_tb(error.tb))):
        if not any(folder in Path(frame.f_code.co_filename).parents for folder in folders):
            kept = TracebackType(kept, frame, frame.f_lasti, line)
    if kept is not None:
        call.excinfo = pytest.ExceptionInfo.from_exception(error.value.with_traceback(kept))
