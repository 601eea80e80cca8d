"""Copies the contents of a sandbox into another, and replaces the paths in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from io import FileIO
from pathlib import Path, PurePath

# the state of a pipeline has some kB; larger files are data, and have no paths
_LARGEST_WITH_PATHS = 1_000_000
# from <linux/fs.h>: share the blocks of another file until one of the two changes
_FICLONE = 0x40049409
# as fast as the kernel's own copying, and it works on every file system
_BYTES_AT_ONCE = 1 << 18


def has_paths(path: Path, names: Sequence[bytes]) -> bool:
    """Tell whether a text file contains one of these spellings of a path; see `spellings`."""
    if path.stat().st_size > _LARGEST_WITH_PATHS:
        return False
    content = path.read_bytes()
    try:
        # a pickle stores the length of a path before it, so that no other path fits
        content.decode()
    except UnicodeDecodeError:
        return False
    return any(name in content for name in names)


def spellings(folder: PurePath) -> tuple[bytes, ...]:
    """Return how files spell an absolute path: as text, in a URL, and in JSON.

    The list always has the same length, with equal spellings too: on Windows all of them differ.
    """
    text, url = str(folder), folder.as_uri().removeprefix("file://")
    in_json = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    return tuple(spelt.encode() for spelt in (text, folder.as_posix(), url, *in_json))


def copy_sandboxes(folders: Sequence[str], target: str) -> bool:
    """Copy the contents of sandboxes into one, and replace their paths; nothing if two conflict.

    Args:
        folders: The folders of the sandboxes.
        target: The folder of a new one.

    Returns:
        False if two of them have the same file with different contents.
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
    """Return the paths of a folder: as given, and resolved."""
    return (folder, os.path.realpath(folder))


def _content(path: str, folder: str) -> bytes:
    """Return the digest of a file, without the path of its folder."""
    content = Path(path).read_bytes()
    for place in places_of(folder):
        for spelling in spellings(Path(place)):
            content = content.replace(spelling, b"")
    return hashlib.blake2b(content).digest()


def copy_with_paths(original: str, copy: str, built_in: Sequence[str], folder: str) -> None:
    """Copy a file, and replace the paths of the folders `built_in` by that of `folder`."""
    with open(original, "rb") as file:
        content = file.read()
    # longer paths first, since another may be a part of them
    for place in sorted(built_in, key=len, reverse=True):
        for old, new in zip(spellings(Path(place)), spellings(Path(folder)), strict=True):
            content = content.replace(old, new)
    with open(copy, "wb") as file:
        file.write(content)


def copy_file(source: str, target: str) -> None:
    """Copy the contents of a file: as a reflink if the file system has them, else byte by byte.

    Raises:
        OSError: It cannot be read or written, for instance because the disk is full.
    """
    # open each file only once: a template has many small ones
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
