"""What `save` of a frame costs, against `dlt.Pipeline.run` of the same frame into the same dataset.

1,000,000 rows of a pandas frame into DuckDB, and 3: appended to a table that is there, by `save`
and by a pipeline of the project, which adds `_dlt_load_id` and `_dlt_id` as `save` does, and so has
the same to write. Each way into a database of its own, which begins empty in every round; the
pipeline has run before, as that of a project has.

    python benchmarks/catalog_save.py [ROUNDS]
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID"] = "true"

import pandas as pd
from measuring import Figure, Seconds, in_turn, main, ratio, seconds_of

from dlthub_project import WritableDataset, current

_MANIFEST = """
destinations: {first: {type: duckdb}, second: {type: duckdb}}
pipelines:
  load_first: {destination: first, dataset_name: first_data}
  load_second: {destination: second, dataset_name: second_data}
"""


def _run(data: Any, _dataset: WritableDataset) -> None:
    current.entities().get_pipeline("load_first").run(data, table_name="rows")


def _save(data: Any, dataset: WritableDataset) -> None:
    dataset.save(data, "rows")


_WAYS: dict[str, tuple[str, Callable[[Any, WritableDataset], None]]] = {
    "pipeline.run": ("first", _run),
    "save": ("second", _save),
}


def _template(name: str, data: Any) -> Path:
    """Make a database with the table, and return a copy of it."""
    database = Path(current.context().local_dir, f"{name}.duckdb")
    database.unlink(missing_ok=True)
    pipeline = current.entities().get_pipeline(f"load_{name}")
    pipeline.drop()
    current.entities().get_pipeline(f"load_{name}").run(data, table_name="rows")
    return Path(shutil.copy(database, database.with_suffix(".template")))


def compared(kind: str, data: Any, rounds: int, reach: float | None) -> Iterator[Figure]:
    """Write `data` each way in turn."""
    local = Path(current.context().local_dir)
    templates = {name: _template(name, data[:3]) for name, _ in _WAYS.values()}

    def write(name: str, way: Callable[[Any, WritableDataset], None]) -> Seconds:
        shutil.copy(templates[name], local / f"{name}.duckdb")
        dataset = current.catalog()[f"{name}_data"]
        taken = seconds_of(lambda: way(data, dataset))
        assert len(dataset.table("rows").select("id").arrow()) == len(data) + 3
        return taken

    timed = in_turn({way: partial(write, *_WAYS[way]) for way in _WAYS}, rounds)
    for clock in ("wall", "processor"):
        what = f"save of {kind}, against pipeline.run, {clock} time"
        yield ratio(what, timed[clock, "save"], timed[clock, "pipeline.run"], reach)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure in a project of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = str(Path(folder, "state"))
        Path(folder, "dlt.yml").write_text(_MANIFEST, encoding="utf-8")
        os.chdir(folder)
        for rows, reach in ((1_000_000, 1.05), (3, None)):
            data = pd.DataFrame({"id": range(rows), "value": [i / 7 for i in range(rows)]})
            yield from compared(f"{rows:,} rows", data, rounds, reach)


if __name__ == "__main__":
    main(figures, rounds=15)
