"""How rows get into a temporary DuckDB: as Parquet where it pays, and by few connections."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from dlthub_project.sandbox import Sandbox, choose_file_format_freely, isolated

MANY = [{"id": i, "name": f"name {i}", "lines": [{"n": i}]} for i in range(5000)]
FEW = MANY[:3]


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, write_project: Callable[..., Path]) -> Iterator[Sandbox]:
    manifest = """
        destinations:
          warehouse: {type: postgres}
          local: {type: duckdb}
    """
    root = write_project(manifest)
    with isolated(Sandbox(str(tmp_path / "sandbox"), str(root), str(root))) as entered:
        yield entered


def formats(pipeline: dlt.Pipeline, rows: list[dict[str, Any]], **arguments: Any) -> set[str]:
    """Run `rows`, and return the formats of the files that were loaded for the table."""
    info = pipeline.run(rows, table_name="rows", **arguments)
    jobs = info.load_packages[0].jobs["completed_jobs"]
    return {job.job_file_info.file_format for job in jobs if job.job_file_info.table_name == "rows"}


def pipeline_to(destination: str) -> dlt.Pipeline:
    return dlt.pipeline(f"to_{destination}", destination=destination, dataset_name="data")


def test_many_rows_are_parquet_in_a_replaced_destination() -> None:
    pipeline = pipeline_to("warehouse")

    assert formats(pipeline, MANY) == {"parquet"}
    assert pipeline.dataset().row_counts().fetchall() == [("rows", 5000), ("rows__lines", 5000)]


def test_few_rows_are_not() -> None:
    assert formats(pipeline_to("warehouse"), FEW) == {"insert_values"}


def test_a_declared_duckdb_keeps_its_production_loader() -> None:
    assert formats(pipeline_to("local"), MANY) == {"insert_values"}


def test_a_pipeline_of_no_declared_destination_chooses_freely() -> None:
    pipeline = pipeline_to("duckdb")
    choose_file_format_freely(pipeline)

    assert formats(pipeline, MANY) == {"parquet"}


def test_a_format_that_the_run_names_stays() -> None:
    pipeline = pipeline_to("warehouse")

    assert formats(pipeline, MANY, loader_file_format="insert_values") == {"insert_values"}


def test_values_are_the_same_either_way() -> None:
    values = {
        "text": "ä, \"quoted\" and 'more'",
        "number": 2**40,
        "double": 0.1,
        "decimal": Decimal("12.340000000"),
        "flag": True,
        "day": datetime.date(2026, 1, 2),
        "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc),
        "nothing": None,
        "binary": b"\x00\xff",
        "some_json": {"a": [1, 2]},
    }
    columns = {"some_json": {"data_type": "json"}, "nothing": {"data_type": "text"}}
    found = []
    for file_format in ("insert_values", "parquet"):
        pipeline = pipeline_to("local")
        pipeline.run(
            [values],
            table_name=f"as_{file_format}",
            loader_file_format=file_format,
            columns=columns,
        )
        relation = pipeline.dataset().table(f"as_{file_format}").select(*values)
        found.append(relation.fetchall())

    assert found[0] == found[1]


def test_no_connection_is_held_after_a_run(sandbox: Sandbox) -> None:
    pipeline_to("warehouse").run(FEW, table_name="rows")

    # DuckDB refuses this while a connection of another kind is open in the process
    with duckdb.connect(f"{sandbox.local_dir}/warehouse-test.duckdb", read_only=True) as mine:
        assert mine.sql("SELECT count(*) FROM data.rows").fetchall() == [(3,)]


def test_no_connection_is_held_after_a_run_that_fails(sandbox: Sandbox) -> None:
    pipeline_to("warehouse").run(FEW, table_name="rows")

    def fails() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        raise ValueError("mine")

    with pytest.raises(Exception, match="mine"):
        pipeline_to("warehouse").run(fails(), table_name="rows")

    with duckdb.connect(f"{sandbox.local_dir}/warehouse-test.duckdb", read_only=True) as mine:
        assert mine.sql("SELECT count(*) FROM data.rows").fetchall() == [(3,)]


def test_state_is_restored_from_a_database_that_exists() -> None:
    @dlt.resource
    def rows(since: Any = dlt.sources.incremental("id")) -> Iterator[dict[str, int]]:
        yield {"id": 1}

    pipeline_to("warehouse").run(rows())
    pipeline_to("warehouse").drop()
    again = pipeline_to("warehouse")

    again.run(rows())

    assert again.dataset().table("rows").fetchall()[0][0] == 1
    assert len(again.dataset().table("rows").fetchall()) == 1


def test_a_pipeline_whose_database_is_gone_starts_anew(sandbox: Sandbox) -> None:
    pipeline_to("warehouse").run(FEW, table_name="rows")
    Path(sandbox.local_dir, "warehouse-test.duckdb").unlink()

    pipeline = pipeline_to("warehouse")
    pipeline.run([{"id": 1}], table_name="other")

    assert pipeline.dataset().row_counts().fetchall() == [("other", 1)]
