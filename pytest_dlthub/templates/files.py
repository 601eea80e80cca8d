"""Digests of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return a digest of a file; of a folder, that of all files in it and of their names.

    Raises:
        OSError: It cannot be read.
    """
    state = hashlib.blake2b(digest_size=16)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                state.update(f"{file.relative_to(path)}\0{file_digest(file)}\0".encode())
    else:
        with path.open("rb") as opened:
            while block := opened.read(1 << 20):
                state.update(block)
    return state.hexdigest()
