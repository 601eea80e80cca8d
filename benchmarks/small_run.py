"""What a small run costs in the sandbox, against the same in plain dlt.

One fresh run of three rows into DuckDB and one read, in one process: under `dlt_run`, and as a
careful engineer isolates it by hand (a folder and a database of its own, names in the
environment). And 100,000 rows of dicts.

    python benchmarks/small_run.py [ROUNDS]
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
from measuring import Figure, in_turn, main, ratio

from dlthub_project.sandbox import Sandbox, isolated
from pytest_dlthub.dlt_run import DltRun

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


def compared(rows: list[dict[str, object]], rounds: int, reach: float) -> Iterator[Figure]:
    """Measure both ways in turn."""
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name, str(number)) for number in itertools.count())

        def run(way: Callable[[Path, list[dict[str, object]]], int]) -> None:
            folder = next(folders)
            folder.mkdir()
            assert way(folder, rows) == len(rows)

        timed = in_turn({"plain": lambda: run(plain), "ours": lambda: run(sandboxed)}, rounds)
    for clock in ("wall", "processor"):
        what = f"a run of {len(rows):,} rows in the sandbox, {clock} time"
        yield ratio(what, timed[clock, "ours"], timed[clock, "plain"], reach)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure few rows and many."""
    yield from compared(_ROWS, rounds, 0.7)
    yield from compared(_MANY, max(3, rounds // 5), 0.4)


if __name__ == "__main__":
    main(figures, rounds=25)
