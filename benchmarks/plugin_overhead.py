"""What the plugin adds to a pytest session without a dlt project.

Runs `pytest` on one empty test in an empty folder, with the plugin and without it
(`-p no:dlthub`), interleaved, and prints the medians and their difference.

    python benchmarks/plugin_overhead.py [ROUNDS]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def seconds(folder: Path, *arguments: str) -> float:
    """Return the processor time of one pytest process, in seconds.

    Not its wall time: on a shared machine that varies by more than the plugin costs.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(rounds: int) -> None:
    """Measure and print."""
    timed: dict[str, list[float]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text("def test_it(): pass\n")
        seconds(folder)
        for _ in range(rounds):
            timed["without"].append(seconds(folder, "-p", "no:dlthub"))
            timed["with"].append(seconds(folder))
    for label, values in timed.items():
        quartiles = statistics.quantiles(values, n=4)
        print(
            f"{label:>7} the plugin: median {1000 * statistics.median(values):.1f} ms "
            f"(quartiles {1000 * quartiles[0]:.1f} to {1000 * quartiles[2]:.1f})"
        )
    paired = [w - wo for w, wo in zip(timed["with"], timed["without"], strict=True)]
    low, median, high = (1000 * value for value in statistics.quantiles(paired, n=4))
    least = 1000 * (min(timed["with"]) - min(timed["without"]))
    print(f"it adds {median:.1f} ms (quartiles {low:.1f} to {high:.1f}; reach: 10 ms)")
    print(f"the fastest sessions differ by {least:.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
