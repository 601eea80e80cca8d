"""What `import dlthub_project` adds to `import dlt`.

Each import runs in a new process, the ways in turn, with byte code at hand. Plain dlt is measured
with `DLTHUB_PROJECT_NO_FALLBACK=1`, so that it does not find this project either. Prints medians
of processor time, and their differences.

    python benchmarks/import_time.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

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


def milliseconds(way: str, folder: str) -> float:
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
    return 1000 * float(done.stdout)


def main(rounds: int) -> None:
    """Measure and print."""
    timed: dict[str, list[float]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for way in _WAYS:
            # writes the byte code
            milliseconds(way, folder)
        for number in range(rounds):
            for way in sorted(_WAYS, reverse=number % 2 == 0):
                timed[way].append(milliseconds(way, folder))
    plain = timed[_PLAIN]
    print(f"{_PLAIN}: median {statistics.median(plain):.1f} ms")
    for way in _OURS:
        added = [ours - dlts for ours, dlts in zip(timed[way], plain, strict=True)]
        low, median, high = statistics.quantiles(added, n=4)
        print(
            f"{way}: adds {median:.1f} ms (quartiles {low:.1f} to {high:.1f}; reach: {_REACH} ms), "
            f"the fastest {min(timed[way]) - min(plain):.1f} ms"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
