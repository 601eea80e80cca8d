"""A folder that nobody can write to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


@contextmanager
def read_only(folder: Path) -> Iterator[list[str]]:
    """Yield the words before a command that make `folder` read-only for it.

    Permissions do not bind root: for it the folder is mounted read-only, in a namespace of the
    command's own, and the test is skipped where that is not allowed.
    """
    if os.geteuid() == 0:
        words = ["unshare", "--mount", "sh", "-c", _MOUNT, str(folder)]
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
            pytest.skip("root may not mount here, and permissions do not bind it")
        yield words
        return
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*")) if path.is_dir()}
    try:
        for path in modes:
            path.chmod(0o555)
        yield []
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
