"""What `import dlthub_project` adds to `import dlt`.

Each import runs in a new process, the ways in turn, with byte code at hand. Plain dlt is measured
with `DLTHUB_PROJECT_NO_FALLBACK=1`, so that it does not find this project either. Processor time.

    python benchmarks/import_time.py [ROUNDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from measuring import Figure, added, main

_REACH = 30
_TIMED = """
import time
before = time.process_time()
{}
print(time.process_time() - before)
"""
_WAYS = {
    "import dlt, as if not installed": "import dlt",
    "import dlt": "import dlt",
    "import dlt, dlthub_project": "import dlt, dlthub_project",
    "import dlt, dlthub_project.current": "import dlt, dlthub_project.current",
}
_PLAIN, *_OURS = _WAYS


def seconds(way: str, folder: str) -> float:
    """Return the processor time of one import in a new process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["DLTHUB_PROJECT_NO_FALLBACK"] = "1" if way == _PLAIN else ""
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(_WAYS[way])],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    timed: dict[str, list[float]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for way in _WAYS:
            # writes the byte code
            seconds(way, folder)
        for number in range(rounds):
            for way in sorted(_WAYS, reverse=number % 2 == 0):
                timed[way].append(seconds(way, folder))
    for way in _OURS:
        yield added(way, timed[way], timed[_PLAIN], _REACH)


if __name__ == "__main__":
    main(figures, rounds=20)
