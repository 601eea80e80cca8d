"""What a small run costs in the sandbox, against the same in plain dlt.

One fresh run of three rows into DuckDB and one read, in one process: under `dlt_run`, and as a
careful engineer isolates it by hand (a folder and a database of its own, names in the
environment). Interleaved, each way first in every other round; prints the medians of wall and
processor time and their ratios. And 100,000 rows of dicts.

    python benchmarks/small_run.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt

from dlthub_project.sandbox import Sandbox, isolated
from pytest_dlthub.project import DltRun

_ROWS = [{"id": i, "name": f"name {i}"} for i in range(3)]
_MANY = [{"id": i, "name": f"name {i}", "value": i / 7} for i in range(100_000)]


def plain(folder: Path, rows: list[dict[str, object]]) -> int:
    """Run and read with plain dlt."""
    pipeline = dlt.pipeline(
        "small",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "small.duckdb")),
        dataset_name="data",
    )
    pipeline.run(rows, table_name="rows")
    return len(pipeline.dataset().table("rows").fetchall())


def sandboxed(folder: Path, rows: list[dict[str, object]]) -> int:
    """Run and read as a test with `dlt_run` does."""
    with isolated(Sandbox(str(folder), None, os.getcwd())):
        run = DltRun()(rows, pipeline_name="small", dataset_name="data", table_name="rows")
        return len(run.rows("rows"))


_CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def compare(rows: list[dict[str, object]], rounds: int, reach: float) -> None:
    """Measure both ways in turn and print."""
    ways: dict[str, Callable[[Path, list[dict[str, object]]], int]] = {
        "plain dlt": plain,
        "sandboxed": sandboxed,
    }
    timed: dict[tuple[str, str], list[float]] = {(c, w): [] for c in _CLOCKS for w in ways}
    with tempfile.TemporaryDirectory() as name:
        # the first round does not count: it imports
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=number % 2 == 0):
                folder = Path(name, f"{number}-{way.replace(' ', '-')}")
                folder.mkdir()
                before = {clock: read() for clock, read in _CLOCKS.items()}
                assert ways[way](folder, rows) == len(rows)
                for clock, read in _CLOCKS.items():
                    timed[clock, way].append(read() - before[clock])
    for (clock, way), values in timed.items():
        low, median, high = statistics.quantiles(values[1:], n=4)
        print(
            f"{len(rows):>7,} rows, {way}: {clock} median {1000 * median:.0f} ms "
            f"(quartiles {1000 * low:.0f} to {1000 * high:.0f})"
        )
    for clock in _CLOCKS:
        sandbox, dlts = (statistics.median(timed[clock, w][1:]) for w in ("sandboxed", "plain dlt"))
        print(f"{len(rows):>7,} rows: {sandbox / dlts:.2f} x plain dlt in {clock} time")
    print(f"{len(rows):>7,} rows: reach {reach} x")


if __name__ == "__main__":
    given = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    compare(_ROWS, given, 0.7)
    compare(_MANY, max(3, given // 5), 0.4)
