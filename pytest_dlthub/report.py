"""What the harness tells: the session's header."""

from __future__ import annotations

from pathlib import Path

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
