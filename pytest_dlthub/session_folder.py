"""The folder that a process of a session has for its sandboxes."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

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
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    made = Path(tempfile.mkdtemp(prefix=f"{process}-", dir=parent))
    now = real_time(made)
    for earlier in parent.iterdir():
        # other sessions may be at the same
        with contextlib.suppress(OSError):
            if now - earlier.stat().st_mtime > _KEPT_FOR_SECONDS:
                shutil.rmtree(earlier, ignore_errors=True)
    return made


def folders_of_tests(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the folders below which `tmp_path` and `tmp_path_factory` make theirs.

    What code writes there is local for tests, and for fixtures of each scope: one file for all.
    """
    try:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    except pytest.FixtureLookupError:
        # it is this fixture, or asks for it; or there is none
        return ()
    return (str(factory.getbasetemp()),)


def real_time(folder: Path) -> float:
    """Return the seconds since 1970, also while a test has set the clock: those of a file system.

    By a clock that is years ahead, what other sessions use now would be old, and be deleted.

    Args:
        folder: A folder of this session's own.
    """
    os.utime(folder)
    return folder.stat().st_mtime


def _user() -> str:
    import getpass

    try:
        return readable(getpass.getuser())
    except (KeyError, OSError, ImportError):
        # a user id without an account, as containers have; on Windows no variable that names one
        return "unknown"


def readable(name: str) -> str:
    """Return a part of a path, on any system, that is like a name."""
    return "".join(c if c.isalnum() else "_" for c in name)[:40]
