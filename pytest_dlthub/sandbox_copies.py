"""Copies what a sandbox holds into another, with the paths in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from io import FileIO
from pathlib import Path, PurePath

# the state of a pipeline is some kB; no file of data is read for the paths in it
_LARGEST_WITH_PATHS = 1_000_000
# of <linux/fs.h>: share the blocks of another file, until one of the two is written to
_FICLONE = 0x40049409
# as fast as the kernel's own copying, and it knows every file system
_BYTES_AT_ONCE = 1 << 18


def has_paths(path: Path, names: Sequence[bytes]) -> bool:
    """Tell whether a text file spells a path in one of these ways; see `spellings`."""
    if path.stat().st_size > _LARGEST_WITH_PATHS:
        return False
    content = path.read_bytes()
    try:
        # a pickle has the length of a path before it: no other fits
        content.decode()
    except UnicodeDecodeError:
        return False
    return any(name in content for name in names)


def spellings(folder: PurePath) -> tuple[bytes, ...]:
    """Return how files spell an absolute path: as text, in a URL, and in JSON.

    The same again where that is the same: on Windows all of them differ.
    """
    text, url = str(folder), folder.as_uri().removeprefix("file://")
    in_json = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    return tuple(spelt.encode() for spelt in (text, folder.as_posix(), url, *in_json))


def copy_sandboxes(folders: Sequence[str], target: str) -> bool:
    """Copy what sandboxes hold into one, with the paths in it; nothing where two disagree.

    Args:
        folders: Those of the sandboxes.
        target: That of a new one.

    Returns:
        Whether it was copied: no two of them have one file with different content.
    """
    found: dict[str, tuple[str, str]] = {}
    for folder in folders:
        for original in sorted(Path(folder, "data").rglob("*")):
            path = str(original.relative_to(folder))
            copy = os.path.join(target, path)
            if original.is_dir():
                os.makedirs(copy, exist_ok=True)
                continue
            other = found.setdefault(path, (str(original), folder))
            if other[1] != folder and _content(str(original), folder) != _content(*other):
                shutil.rmtree(os.path.join(target, "data"))
                return False
    for path, (source, folder) in found.items():
        copy = os.path.join(target, path)
        places = [spelling for place in places_of(folder) for spelling in spellings(Path(place))]
        if has_paths(Path(source), places):
            copy_with_paths(source, copy, places_of(folder), target)
        else:
            copy_file(source, copy)
    return True


def places_of(folder: str) -> tuple[str, str]:
    """Return the paths that a folder is known by."""
    return (folder, os.path.realpath(folder))


def _content(path: str, folder: str) -> bytes:
    """Return the digest of a file, without the folder that it is in."""
    content = Path(path).read_bytes()
    for place in places_of(folder):
        for spelling in spellings(Path(place)):
            content = content.replace(spelling, b"")
    return hashlib.blake2b(content).digest()


def copy_with_paths(original: str, copy: str, built_in: Sequence[str], folder: str) -> None:
    """Copy a file, with the paths of the folders `built_in` as those of `folder`."""
    with open(original, "rb") as file:
        content = file.read()
    # a longer path first: another may be a part of it
    for place in sorted(built_in, key=len, reverse=True):
        for old, new in zip(spellings(Path(place)), spellings(Path(folder)), strict=True):
            content = content.replace(old, new)
    with open(copy, "wb") as file:
        file.write(content)


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
