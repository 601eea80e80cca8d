"""What the runner costs, against `dlt.Pipeline.run` of the same pipeline in the same project.

`run_pipeline` of a project and `PipelineRunner` of a pipeline made in code, without retries, traces
and observers, and with a retry policy that nothing calls upon; 1,000,000 Arrow rows and 3 rows of
dicts into DuckDB. Interleaved in one process, in another order in every round.

    python benchmarks/runner_overhead.py [ROUNDS]
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import pyarrow as pa
from measuring import Figure, in_turn, main, ratio

from dlthub_project import current
from dlthub_project.runner import PipelineRunner, runner

_REACH = 1.02
_FEW = [{"id": i, "name": f"name {i}"} for i in range(3)]
_MANY = pa.table({"id": range(1_000_000), "value": [i / 7 for i in range(1_000_000)]})
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


def compared(kind: str, data: Any, rounds: int) -> Iterator[Figure]:
    """Run `data` each way in turn, each into a database of its own."""
    ways = {
        way: partial(run, f"load_{number}", data, f"rows_{len(data)}")
        for number, (way, run) in enumerate(_WAYS.items())
    }
    timed = in_turn(ways, rounds)
    plain, *ours = ways
    for clock in ("wall", "processor"):
        for way in ours:
            what = f"{way}, {kind}, {clock} time"
            yield ratio(what, timed[clock, way], timed[clock, plain], _REACH)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure in a project of its own."""
    with tempfile.TemporaryDirectory() as folder:
        entries = "\n".join(f"  load_{i}: {{destination: db_{i}}}" for i in range(len(_WAYS)))
        databases = "\n".join(f"  db_{i}: {{type: duckdb}}" for i in range(len(_WAYS)))
        manifest = f"destinations:\n{databases}\npipelines:\n{entries}\n"
        Path(folder, "dlt.yml").write_text(manifest, encoding="utf-8")
        os.chdir(folder)
        yield from compared("3 rows", _FEW, rounds)
        yield from compared("1,000,000 Arrow rows", _MANY, max(5, rounds // 3))


if __name__ == "__main__":
    main(figures, rounds=45)
