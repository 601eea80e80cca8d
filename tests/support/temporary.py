"""Makes a temporary folder for a run of the tests, and prints it: in memory, where there is room.

The tests make and remove some 200,000 folders, and some disks take 2 ms for each.

    python tests/support/temporary.py
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_IN_MEMORY = "/dev/shm"
_MEMORY = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB", re.MULTILINE)
# more than the folders of all tests and two workers take
_ROOM = 10 * 1024**3
# of containers, which may have less than their machine
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def main() -> None:
    """Make it, and print its path."""
    # both are Linux's
    is_there = os.access(_IN_MEMORY, os.W_OK) and _MEMORY.is_file()
    has_room = is_there and min(_free()) > _ROOM
    print(tempfile.mkdtemp(prefix="t", dir=_IN_MEMORY if has_room else None))


def _free() -> Iterator[int]:
    yield shutil.disk_usage(_IN_MEMORY).free
    yield from (1024 * int(kilobytes) for kilobytes in _AVAILABLE.findall(_MEMORY.read_text()))
    for path in map(Path, _LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdigit():
            yield int(text)


if __name__ == "__main__":
    main()
