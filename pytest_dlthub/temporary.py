"""The temporary folder of a session."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

_KEPT_FOR_SECONDS = 3 * 24 * 3600


def new_session_folder(basetemp: Path | None) -> Path:
    """Make a folder for one process of this session, and delete those of earlier days."""
    # here, and not above: a session without a project does not need it
    import tempfile

    # pytest empties --basetemp when it first uses it, so ours lies beside it
    default = Path(tempfile.gettempdir(), f"pytest-dlt-of-{_user()}")
    parent = basetemp.parent / f"{basetemp.name}-dlt" if basetemp else default
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(parent, os.W_OK):
        # somebody else's, of the same name
        parent = Path(tempfile.mkdtemp(prefix="pytest-dlt-"))
    for earlier in parent.iterdir():
        # other sessions may be at the same
        with contextlib.suppress(OSError):
            if time.time() - earlier.stat().st_mtime > _KEPT_FOR_SECONDS:
                shutil.rmtree(earlier, ignore_errors=True)
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return Path(tempfile.mkdtemp(prefix=f"{process}-", dir=parent))


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a user id without an account, as containers have
        return "unknown"
