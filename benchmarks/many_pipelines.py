"""What it buys to run many pipelines at once, and what the scheduling costs.

Eight pipelines load 100,000 rows each into DuckDB files of their own: in processes, and one after
another by `run_pipeline`, in turn; a start of the processes is in it. Pipelines that have nothing
to load run on a Dask cluster of one process, and one after another here. 1,000 of them are
scheduled in processes; the memory of the client is looked at after 100 and after all. Wall time.

A round of the first figure takes some two minutes, the 1,000 some five.

    python benchmarks/many_pipelines.py [ROUNDS]
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from distributed import Client, LocalCluster
from measuring import Figure, added, main, speed_up

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
    lines += ["  nowhere: {type: dummy}", "pipelines:"]
    lines += [f"  big_{n}: {{source: s{n}, destination: d{n}, dataset_name: raw}}" for n in numbers]
    lines += [
        f"  empty_{n}: {{source: nothing, destination: nowhere, dataset_name: none_{n}}}"
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


def _run_empty(count: int, executor: Executor | None) -> float:
    names = [f"empty_{n}" for n in range(count)]
    started = time.perf_counter()
    if executor is None:
        for name in names:
            current.runner().run_pipeline(name)
    else:
        current.runner().run_pipelines(names, executor=executor).raise_for_failures()
    return (time.perf_counter() - started) / count


def _on_dask(rounds: int) -> Figure:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        executor = client.get_executor(pure=False)
        ways = {"dask": executor, "here": None}
        timed: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=number % 2 == 0):
                seconds = _run_empty(20, ways[way])
                # what runs first imports dlt in the worker, and makes each pipeline's schema
                if number:
                    timed[way].append(seconds)
    return added("a pipeline on Dask", timed["dask"], timed["here"], 150)


def _grown() -> Figure:
    """Return the memory that the client needs for 1,000 requests, and did not for 100."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        _run_empty(100, processes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _run_empty(_EMPTY, processes)
        megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    what = f"memory of the client in {_EMPTY:,} requests, above 100"
    return Figure(what, megabytes, megabytes, megabytes, "MB", 10)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["COMPLETED_PROB"] = "1.0"
    with tempfile.TemporaryDirectory() as folder:
        _write_project(Path(folder))
        os.chdir(folder)
        ensure_project()
        yield _on_dask(2 * rounds)
        timed: dict[int, list[float]] = {1: [], 2: []}
        for number in range(rounds):
            for workers in sorted(timed, reverse=number % 2 == 0):
                timed[workers].append(_run(workers))
        yield speed_up("8 pipelines, 2 processes", timed[2], timed[1], 1.7)
        yield _grown()
        os.chdir("/")


if __name__ == "__main__":
    main(figures, rounds=3)
