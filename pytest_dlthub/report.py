"""What the harness tells: the session's header."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

import pytest

from pytest_dlthub.activation import Session

FAILED = pytest.StashKey[bool]()
FOLDER = pytest.StashKey[Path]()


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


def tell_of_kept_data(item: pytest.Item, outcome: pytest.TestReport) -> None:
    """Say in the report of a failed test where its data are."""
    folder = item.stash.get(FOLDER, None)
    if folder is not None and folder.exists() and item.config.getini("dlt_keep") != "none":
        outcome.sections.append(("dlt", f"the data of this test are kept in {folder}"))


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
