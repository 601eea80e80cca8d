"""Files that C code or another process opens while data are loaded, which Python cannot see.

Linux reports them by inotify, for folders that we name before.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_OPENED, _MODIFIED, _CREATED, _MOVED_HERE = 0x20, 0x2, 0x100, 0x80
_IS_FOLDER, _OVERFLOW = 0x40000000, 0x4000
# a folder, what has happened, a number of no meaning here, and the length of the name
_EVENT = struct.Struct("iIII")
_AT_ONCE = 1 << 16
# each is 1 kB of the system's memory
_MOST_FOLDERS = 4000


@dataclass
class OpenedBelow:
    """The files that were opened and not written to; empty until the block ends."""

    files: set[str] = field(default_factory=set)


@contextmanager
def opened_below(root: str, has_inputs: Callable[[str], bool]) -> Iterator[OpenedBelow]:
    """Note which files below a folder are opened in a block, by any process. Only on Linux.

    If the system cannot report every file, all files of the folders concerned count.

    Args:
        root: The folder.
        has_inputs: Tells whether the files in and below a folder count.
    """
    found = OpenedBelow()
    if sys.platform != "linux":
        yield found
        return
    library = ctypes.CDLL(None, use_errno=True)
    # negative if the system allows no more of them; then we can watch no folder
    number = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        folders: dict[int, str] = {}
        unwatched = []
        for folder in _folders(root, has_inputs):
            mask = _OPENED | _MODIFIED | _CREATED | _MOVED_HERE
            watch = library.inotify_add_watch(number, os.fsencode(folder), mask)
            if watch < 0:
                unwatched.append(folder)
            else:
                folders[watch] = folder
        yield found
        content = _read(number) if number >= 0 else b""
        if _has_lost_some(content):
            unwatched += folders.values()
        found.files = _opened(content, folders).union(*map(_files_in, unwatched))
    finally:
        if number >= 0:
            os.close(number)


def _folders(root: str, has_inputs: Callable[[str], bool]) -> Iterator[str]:
    left = _MOST_FOLDERS
    for folder, folders, _ in os.walk(root):
        folders[:] = [name for name in folders if has_inputs(os.path.join(folder, name))]
        yield folder
        left -= 1
        if not left:
            return


def _read(number: int) -> bytes:
    content = b""
    # when there is no more
    with suppress(BlockingIOError):
        while part := os.read(number, _AT_ONCE):
            content += part
    return content


def _events(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(content):
        folder, happened, _, length = _EVENT.unpack_from(content, at)
        at += _EVENT.size
        yield folder, happened, content[at : at + length].rstrip(b"\0")
        at += length


def _has_lost_some(content: bytes) -> bool:
    """Tell whether the system has dropped events: it keeps some 16,000."""
    return any(happened & _OVERFLOW for _, happened, _ in _events(content))


def _files_in(folder: str) -> set[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.path for entry in entries if entry.is_file()}
    return set()


def _opened(content: bytes, folders: dict[int, str]) -> set[str]:
    opened: set[str] = set()
    written: set[str] = set()
    for folder, happened, name in _events(content):
        if name and folder in folders and not happened & _IS_FOLDER:
            kind = opened if happened & _OPENED else written
            kind.add(os.path.join(folders[folder], os.fsdecode(name)))
    return opened - written
