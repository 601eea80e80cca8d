"""Holds the sandbox of a process where its children find it that lack the variable: `env -i`.

Linux alone: it is an open file in memory, which `/proc` shows to processes of the same user.
Nothing of it is left when the process ends, however that is.
"""

from __future__ import annotations

import mmap
import os
import sys
from dataclasses import dataclass

_NAME = "pytest-dlthub-sandbox"
# in bytes; most of it never has a page of memory
_SIZE = 65_536
_SHOWN_AS = f"/memfd:{_NAME}"
_IS_POSSIBLE = sys.platform == "linux" and hasattr(os, "memfd_create")


@dataclass(frozen=True)
class _Held:
    process: int
    memory: mmap.mmap


_held: _Held | None = None


def hold(value: str) -> None:
    """Hold the value of the variable; nothing where the process is in no sandbox.

    It is written twice for each test, and so into memory: a call of the system takes longer.
    """
    global _held
    written = os.fsencode(value) + b"\0"
    if not _IS_POSSIBLE or (_held is None and not value):
        return
    if _held is None or _held.process != os.getpid() or len(_held.memory) < len(written):
        if _held is not None:
            # a fork shares that of the process above
            _held.memory.close()
        descriptor = os.memfd_create(_NAME)
        os.ftruncate(descriptor, max(_SIZE, 2 * len(written)))
        # it keeps a descriptor of its own, which is closed in each program that is started
        _held = _Held(os.getpid(), mmap.mmap(descriptor, 0))
        os.close(descriptor)
    _held.memory[: len(written)] = written


def held_above() -> str:
    """Return what the nearest process above this one holds, or nothing."""
    process = os.getppid() if _IS_POSSIBLE else 0
    while process > 1:
        if value := _held_by(process):
            return value
        try:
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                # a name may have spaces and brackets
                process = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return ""


def _held_by(process: int) -> str:
    folder = f"/proc/{process}/fd"
    try:
        for descriptor in os.listdir(folder):
            path = f"{folder}/{descriptor}"
            if os.readlink(path).startswith(_SHOWN_AS):
                with open(path, "rb") as file:
                    return os.fsdecode(file.read().partition(b"\0")[0])
    except OSError:
        # of another user, or closed meanwhile
        return ""
    return ""
