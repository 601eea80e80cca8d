"""Files that anybody opens while data are loaded: Python tells nothing of C code and children.

On Linux the system does, of folders that are named to it before.
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
_IS_FOLDER = 0x40000000
# a folder, what has happened, a number of no meaning here, and the length of the name
_EVENT = struct.Struct("iIII")
_AT_ONCE = 1 << 16
# each is 1 kB of the system's memory
_MOST_FOLDERS = 4000


@dataclass
class OpenedBelow:
    """Files that were opened, but for those that were written to; empty until the block ends."""

    files: set[str] = field(default_factory=set)


@contextmanager
def opened_below(root: str, has_inputs: Callable[[str], bool]) -> Iterator[OpenedBelow]:
    """Note which files below a folder are opened in a block, by whom ever; on Linux alone.

    Args:
        root: The folder.
        has_inputs: Tells whether files of a folder below it, and of those in that, count.
    """
    found = OpenedBelow()
    if sys.platform != "linux":
        yield found
        return
    library = ctypes.CDLL(None, use_errno=True)
    number = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if number < 0:
        # so many are not allowed, or the system has none
        yield found
        return
    try:
        folders = {}
        for folder in _folders(root, has_inputs):
            mask = _OPENED | _MODIFIED | _CREATED | _MOVED_HERE
            folders[library.inotify_add_watch(number, os.fsencode(folder), mask)] = folder
        yield found
        found.files = _opened(_read(number), folders)
    finally:
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


def _opened(content: bytes, folders: dict[int, str]) -> set[str]:
    opened: set[str] = set()
    written: set[str] = set()
    at = 0
    while at < len(content):
        folder, happened, _, length = _EVENT.unpack_from(content, at)
        at += _EVENT.size
        name = os.fsdecode(content[at : at + length].rstrip(b"\0"))
        at += length
        if name and folder in folders and not happened & _IS_FOLDER:
            kind = opened if happened & _OPENED else written
            kind.add(os.path.join(folders[folder], name))
    return opened - written
