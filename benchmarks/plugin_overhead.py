"""What the plugin adds to a pytest session without a dlt project.

Runs `pytest` on one empty test in an empty folder, with the plugin and without it
(`-p no:dlthub`), interleaved.

    python benchmarks/plugin_overhead.py [ROUNDS]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import Figure, added, main


def seconds(folder: Path, *arguments: str) -> float:
    """Return the processor time of one pytest process, in seconds.

    Not its wall time: on a shared machine that varies by more than the plugin costs.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    timed: dict[str, list[float]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text("def test_it(): pass\n")
        seconds(folder)
        for _ in range(rounds):
            timed["without"].append(seconds(folder, "-p", "no:dlthub"))
            timed["with"].append(seconds(folder))
    what = "the plugin in a pytest session without a project, processor time"
    yield added(what, timed["with"], timed["without"], 10)


if __name__ == "__main__":
    main(figures, rounds=20)
