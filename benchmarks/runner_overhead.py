"""What the runner costs, against `dlt.Pipeline.run` of the same pipeline in the same project.

`run_pipeline` of a project and `PipelineRunner` of a pipeline made in code, without retries, traces
and observers, and with a retry policy that nothing calls upon; 1,000,000 Arrow rows and 3 rows of
dicts into DuckDB. Interleaved in one process, in another order in every round; prints the medians
of wall and processor time and the ratios.

    python benchmarks/runner_overhead.py [ROUNDS]
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import pyarrow as pa

from dlthub_project import current
from dlthub_project.runner import PipelineRunner, runner

_REACH = 1.02
_FEW = [{"id": i, "name": f"name {i}"} for i in range(3)]
_MANY = pa.table({"id": range(1_000_000), "value": [i / 7 for i in range(1_000_000)]})
_CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
_ARGUMENTS: dict[str, Any] = {"write_disposition": "replace"}
_POLICY = {"type": "backoff", "max_attempts": 5}


def _live(name: str) -> dlt.Pipeline:
    return current.entities().get_pipeline(name)


def _plain(name: str, data: Any, table: str) -> None:
    _live(name).run(data, table_name=table, **_ARGUMENTS)


def _in_code(name: str, data: Any, table: str) -> None:
    PipelineRunner(_live(name)).run(data, table_name=table, **_ARGUMENTS)


def _with_retries(name: str, data: Any, table: str) -> None:
    runner(_live(name), retry_policy=_POLICY).run(data, table_name=table, **_ARGUMENTS)


def _declared(name: str, data: Any, table: str) -> None:
    current.runner().run_pipeline(name, data=data, table_name=table, **_ARGUMENTS)


_WAYS: dict[str, Callable[[str, Any, str], None]] = {
    "pipeline.run": _plain,
    "run_pipeline": _declared,
    "PipelineRunner": _in_code,
    "with a retry policy": _with_retries,
}


def compare(kind: str, data: Any, rounds: int) -> None:
    """Run `data` each way in turn, each into a database of its own, and print."""
    timed: dict[tuple[str, str], list[float]] = {(c, w): [] for c in _CLOCKS for w in _WAYS}
    ways, order = list(_WAYS), random.Random(0)
    # the first round does not count: it imports, and makes the tables
    for _ in range(rounds + 1):
        for way in order.sample(ways, len(ways)):
            # or a collection falls into the same way in every round
            gc.collect()
            name = f"load_{ways.index(way)}"
            before = {clock: read() for clock, read in _CLOCKS.items()}
            _WAYS[way](name, data, f"rows_{len(data)}")
            for clock, read in _CLOCKS.items():
                timed[clock, way].append(read() - before[clock])
    for clock in _CLOCKS:
        of_dlt = timed[clock, "pipeline.run"][1:]
        for way in ways:
            values = timed[clock, way][1:]
            low, median, high = statistics.quantiles(values, n=4)
            ratio = median / statistics.median(of_dlt)
            # of what ran next to each other: noise of the machine falls out
            pairs = statistics.median(a / b for a, b in zip(values, of_dlt, strict=True))
            print(
                f"{kind}, {clock}: {way}: median {1000 * median:.1f} ms (quartiles "
                f"{1000 * low:.1f} to {1000 * high:.1f}), {ratio:.3f} x pipeline.run; "
                f"median of pairs {pairs:.3f} x"
            )
    print(f"{kind}: reach {_REACH} x")


def main(rounds: int) -> None:
    """Measure in a project of its own."""
    with tempfile.TemporaryDirectory() as folder:
        entries = "\n".join(f"  load_{i}: {{destination: db_{i}}}" for i in range(len(_WAYS)))
        databases = "\n".join(f"  db_{i}: {{type: duckdb}}" for i in range(len(_WAYS)))
        manifest = f"destinations:\n{databases}\npipelines:\n{entries}\n"
        Path(folder, "dlt.yml").write_text(manifest, encoding="utf-8")
        os.chdir(folder)
        compare("3 rows", _FEW, rounds)
        compare("1,000,000 Arrow rows", _MANY, max(5, rounds // 3))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 45)
