"""What a transformation costs, against the same SQL in DuckDB's own client, and against plain dlt.

Both read rows that dlt has loaded, with their load ids:

- on one DuckDB: an aggregation, by `run()` of a transformation whose input and output live in one
  database; DuckDB's own client makes a table of the same query there.
- across destinations: all rows of one DuckDB go to another; plain dlt reads the relation as Arrow
  in chunks of 100,000 rows and loads it, with load ids too.

Each time into a new output.

    python benchmarks/transformations.py [ROUNDS] [--rows 10000000] [--rows-across 2000000]
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
# of the pipelines that load the input, and that plain dlt copies it with
os.environ["LOAD__NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ["PLAIN__NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"

import dlt
import duckdb
import pyarrow as pa
from measuring import Figure, Seconds, in_turn, main, ratio, seconds_of

from dlthub_project import current

MANIFEST = """
destinations:
  warehouse: {type: duckdb}
  other: {type: duckdb}
datasets:
  data: {destination: [warehouse]}
  reports: {destination: [warehouse]}
  copies: {destination: [other]}
pipelines:
  load: {destination: warehouse, dataset_name: data}
caches:
  big: {inputs: [{dataset: data}], outputs: [{dataset: reports, tables: {totals: totals}}]}
  across: {inputs: [{dataset: data}], outputs: [{dataset: copies, tables: {copied: copied}}]}
transformations:
  big: {engine: sql, cache: big}
  across: {engine: sql, cache: across}
"""
QUERY = (
    "SELECT shop, day, count(*) AS n, sum(price) AS price, avg(price) AS mean, "
    "count(DISTINCT customer) AS customers, quantile_cont(price, 0.9) AS high "
    "FROM {table} GROUP BY ALL"
)
COPY = "SELECT id, shop, day, customer, price FROM events"


def _write(folder: str) -> None:
    Path(folder, "dlt.yml").write_text(MANIFEST, encoding="utf-8")
    for name, file, text in (
        ("big", "totals", QUERY.format(table="events")),
        ("across", "copied", COPY),
    ):
        path = Path(folder, "transformations", name, f"{file}.sql")
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")


def _events(rows: int) -> pa.Table:
    query = (
        "SELECT i AS id, i % 50 AS shop, DATE '2024-01-01' + (hash(i) % 100)::INT AS day, "
        "(hash(i * 7) % 200000)::BIGINT AS customer, (hash(i * 3) % 10000) / 7 AS price "
        "FROM range({}) t(i)"
    )
    return duckdb.sql(query.format(rows)).to_arrow_table()


def _database(name: str) -> str:
    return os.path.join(current.config().local_dir, f"{name}.duckdb")


def _run(name: str) -> Seconds:
    _forget_outputs()

    def run() -> None:
        assert not current.entities().get_transformation(name).run().is_empty

    return seconds_of(run)


def _in_duckdb() -> Seconds:
    _forget_outputs()

    def run() -> None:
        with duckdb.connect(_database("warehouse")) as connection:
            connection.execute(f"CREATE TABLE data.by_hand AS {QUERY.format(table='data.events')}")

    taken = seconds_of(run)
    with duckdb.connect(_database("warehouse")) as connection:
        connection.execute("DROP TABLE data.by_hand")
    return taken


def _by_plain_dlt() -> Seconds:
    _forget_outputs()

    def run() -> dlt.Pipeline:
        relation = dlt.dataset(dlt.destinations.duckdb(_database("warehouse")), "data")(COPY)
        pipeline = dlt.pipeline(
            "plain",
            pipelines_dir="plain",
            destination=dlt.destinations.duckdb(os.path.abspath("plain.duckdb")),
            dataset_name="copies",
        )
        pipeline.run(relation.iter_arrow(chunk_size=100_000), table_name="copied")
        return pipeline

    taken = seconds_of(run)
    shutil.rmtree("plain")
    return taken


def _forget_outputs() -> None:
    """Have the next runs see all loads as new ones."""
    data_dir = current.config().data_dir
    for folder in ("pipelines", "caches"):
        for path in Path(data_dir, folder).glob("*cache*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (_database("other"), "plain.duckdb"):
        Path(path).unlink(missing_ok=True)
    with duckdb.connect(_database("warehouse")) as connection:
        connection.execute("DROP SCHEMA IF EXISTS reports CASCADE")


def _load(rows: int) -> None:
    def pages() -> Any:
        yield _events(rows)

    data_dir = Path(current.config().data_dir)
    shutil.rmtree(data_dir / "pipelines", ignore_errors=True)
    Path(_database("warehouse")).unlink(missing_ok=True)
    current.runner().run_pipeline("load", data=dlt.resource(pages, name="events"))


def figures(rounds: int, rows: int, rows_across: int) -> Iterator[Figure]:
    """Measure in a project of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _write(folder)
        _load(rows)
        timed = in_turn({"run": lambda: _run("big"), "sql": _in_duckdb}, rounds)
        what = f"an aggregation of {rows:,} rows on one DuckDB, against its own client, wall time"
        yield ratio(what, timed["wall", "run"], timed["wall", "sql"], 1.3)
        if rows_across != rows:
            _load(rows_across)
        timed = in_turn({"run": lambda: _run("across"), "plain": _by_plain_dlt}, rounds)
        what = f"{rows_across:,} rows to another destination, against plain dlt, wall time"
        yield ratio(what, timed["wall", "run"], timed["wall", "plain"], 1.2)
        os.chdir("/")


if __name__ == "__main__":
    main(figures, rounds=5, rows=10_000_000, rows_across=2_000_000)
