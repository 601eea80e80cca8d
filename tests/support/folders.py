"""What is in folders, to see that nothing was changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

# pytester's own, and caches
_LEFT_OUT = ("runpytest-", "stdout", "stderr", "__pycache__", ".coverage")


def snapshot(*folders: Path) -> dict[str, str]:
    """Return a digest of every file below the folders; pytester's own and caches left out."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.exists() else ():
            if any(part.startswith(_LEFT_OUT) for part in path.parts):
                continue
            if path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            elif path.is_dir():
                found[str(path)] = "folder"
    return found
