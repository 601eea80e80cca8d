"""The folder in which a process of a session makes its sandboxes."""

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
        # another user has a folder of this name
        parent = Path(tempfile.mkdtemp(prefix="pytest-dlt-"))
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    made = Path(tempfile.mkdtemp(prefix=f"{process}-", dir=parent))
    now = real_time(made)
    for earlier in parent.iterdir():
        # other sessions may delete it, too
        with contextlib.suppress(OSError):
            if now - earlier.stat().st_mtime > _KEPT_FOR_SECONDS:
                shutil.rmtree(earlier, ignore_errors=True)
    return made


def folders_of_tests(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the folders below which `tmp_path` and `tmp_path_factory` make theirs.

    Files there are local for tests and for fixtures of any scope; all see the same file.
    """
    try:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    except pytest.FixtureLookupError:
        # the request is that of this fixture, or of one that it needs; or there is none
        return ()
    return (str(factory.getbasetemp()),)


def real_time(folder: Path) -> float:
    """Return the seconds since 1970 by the file system, even if a test has set the clock.

    With a clock that is years ahead, we would delete folders that other sessions use now.

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
        # the user id has no account, as in containers; or, on Windows, no variable has the name
        return "unknown"


def readable(name: str) -> str:
    """Return a name that any system allows in a path: letters, digits and `_`, at most 40."""
    return "".join(c if c.isalnum() else "_" for c in name)[:40]
