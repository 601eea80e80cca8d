"""Copies a file in the cheapest way that the file system has."""

from __future__ import annotations

import shutil
import sys
from io import FileIO

# of <linux/fs.h>: share the blocks of another file, until one of the two is written to
_FICLONE = 0x40049409
# as fast as the kernel's own copying, and it knows every file system
_BYTES_AT_ONCE = 1 << 18


def copy_file(source: str, target: str) -> None:
    """Copy the content of a file: as a reflink on file systems that have them, else all of it.

    Raises:
        OSError: It cannot be read or written, for instance for lack of space.
    """
    # each file is opened once: a template has many small ones
    with FileIO(source) as original, FileIO(target, "w") as copy:
        if not _reflinked(original, copy):
            shutil.copyfileobj(original, copy, _BYTES_AT_ONCE)


def _reflinked(original: FileIO, copy: FileIO) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
    except OSError:
        return False
    return True
