"""What the harness tells: the session's header."""

from __future__ import annotations

import pytest

from pytest_dlthub.activation import Session

FAILED = pytest.StashKey[bool]()


def header(session: Session) -> str | None:
    """Return the header line of a session that tests a project, else None."""
    if session.project is None:
        return None
    from dlthub_project.hub import finder

    if finder.is_dlthub_installed():
        return f"dlt: the package dlthub is installed: {session.project} is left to it"
    parts = [
        f"project {session.project.name} (dlt.yml)",
        f"profile {session.profile} ({session.profile_reason})",
        f"sandbox {session.folder}",
    ]
    return f"dlt: {' · '.join(parts)}"
