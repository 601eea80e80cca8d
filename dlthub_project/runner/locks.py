"""Locks between all processes of this user on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from dlthub_project.sandbox import active_sandbox


def folder_of_locks(name: str) -> Path:
    """Return the folder `name` for locks and journals; it is there, and can be written to.

    It is in the user's state folder; in a test, in the sandbox.
    """
    # here, and not above: few processes need it
    import platformdirs

    sandbox = active_sandbox()
    own = Path(sandbox.global_dir) if sandbox else platformdirs.user_state_path("dlthub_project")
    try:
        (own / name).mkdir(parents=True, exist_ok=True)
        if os.access(own / name, os.W_OK | os.X_OK):
            return own / name
    except OSError:
        pass
    # the user's home cannot be written to, such as that of a service
    folder = Path(tempfile.gettempdir(), f"dlthub_project_{_user()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def turn_at(path: str) -> Iterator[None]:
    """Wait until nobody else has the turn at a file or folder, and keep others waiting in a block.

    Threads wait for each other as processes do. Links and relative parts of the path are resolved.
    """
    from filelock import FileLock

    # Windows knows no case
    real = os.path.normcase(os.path.realpath(path))
    key = sha256(os.fsencode(real)).hexdigest()[:16]
    with FileLock(str(folder_of_locks("turns") / key), thread_local=False):
        yield


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
