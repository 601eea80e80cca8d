"""What it buys to run many pipelines at once, and what the scheduling costs.

Eight pipelines load 100,000 rows each into DuckDB files of their own: in processes, and one after
another by `run_pipeline`, in turn; a start of the processes is in it. 1,000 requests that do
nothing are scheduled in threads; the memory of the client is looked at after 100 and after all.
Wall time.

    python benchmarks/many_pipelines.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measuring import Figure, main, speed_up, taken

from dlthub_project import current, ensure_project

_PIPELINES, _ROWS, _EMPTY = 8, 100_000, 1_000
_SOURCE = f"""
import dlt


@dlt.source
def rows(first: int):
    @dlt.resource
    def numbers():
        for start in range(first, first + {_ROWS}, 5000):
            page = range(start, start + 5000)
            yield [{{"id": n, "name": f"row {{n}}", "price": n / 7}} for n in page]

    return numbers


@dlt.source
def nothing():
    @dlt.resource
    def none():
        yield from ()

    return none
"""


def _write_project(folder: Path) -> None:
    numbers = range(_PIPELINES)
    lines = ["sources:", "  nothing: {type: big.nothing}"]
    lines += [f"  s{n}: {{type: big.rows, first: {n * _ROWS}}}" for n in numbers]
    lines += ["destinations:", *(f"  d{n}: {{type: duckdb}}" for n in numbers)]
    lines += ["pipelines:"]
    lines += [f"  big_{n}: {{source: s{n}, destination: d{n}, dataset_name: raw}}" for n in numbers]
    lines += [
        f"  empty_{n}: {{source: nothing, destination: filesystem, dataset_name: none_{n}}}"
        for n in range(_EMPTY)
    ]
    (folder / "sources").mkdir()
    (folder / "sources" / "big.py").write_text(_SOURCE, encoding="utf-8")
    (folder / "dlt.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _run(workers: int) -> float:
    names = [f"big_{n}" for n in range(_PIPELINES)]
    shutil.rmtree("_data", ignore_errors=True)
    ensure_project()
    started = time.perf_counter()
    if workers == 1:
        for name in names:
            current.runner().run_pipeline(name)
    else:
        current.runner().run_pipelines(names, max_workers=workers).raise_for_failures()
    return time.perf_counter() - started


def _schedule(count: int) -> float:
    names = [f"empty_{n}" for n in range(count)]
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        results = current.runner().run_pipelines(names, executor=threads)
    results.raise_for_failures()
    return (time.perf_counter() - started) / count


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        _write_project(Path(folder))
        os.chdir(folder)
        os.environ["BUCKET_URL"] = "files"
        timed: dict[int, list[float]] = {1: [], 2: []}
        for number in range(rounds):
            for workers in sorted(timed, reverse=number % 2 == 0):
                timed[workers].append(_run(workers))
        yield speed_up("8 pipelines, 2 processes", timed[2], timed[1], 1.7)
        _schedule(100)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        each = [_schedule(_EMPTY) for _ in range(max(2, rounds // 3))]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"memory grew by {grown / 1024:.0f} MB in {_EMPTY:,} requests", file=sys.stderr)
        yield taken("a pipeline that has nothing to load, in threads", each, None)
        os.chdir("/")


if __name__ == "__main__":
    main(figures, rounds=5)
