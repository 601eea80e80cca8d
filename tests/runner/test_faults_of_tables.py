"""A load that was interrupted between commit and mark: how the rows are told, table by table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from interrupted import committed_and_not_marked

from dlthub_project.runner.resume import finish_pending

DESTINATIONS = {
    "duckdb": lambda folder: dlt.destinations.duckdb(str(folder / "shop.duckdb")),
    "sqlite": lambda folder: dlt.destinations.sqlalchemy(f"sqlite:///{folder}/shop.sqlite"),
    "filesystem": lambda folder: dlt.destinations.filesystem(str(folder / "files")),
}
BOUGHT = [
    {"id": 1, "lines": [{"line": 1, "parts": [{"part": 1}]}]},
    {"id": 2, "lines": [{"line": 2, "parts": [{"part": 2}]}]},
]

MakePipeline = Callable[..., dlt.Pipeline]


@pytest.fixture
def make_pipeline(tmp_path: Path) -> MakePipeline:
    def make(kind: str = "duckdb") -> dlt.Pipeline:
        return dlt.pipeline(
            "shop",
            pipelines_dir=str(tmp_path / "pipelines"),
            destination=DESTINATIONS[kind](tmp_path),
            dataset_name="shop_data",
        )

    return make


def interrupt(pipeline: dlt.Pipeline, data: Any, *tables: str, **run_arguments: Any) -> None:
    """Load `data`, and leave them as if dlt did not know that jobs of `tables` are done."""
    pipeline.extract(data, **run_arguments)
    pipeline.normalize()
    with committed_and_not_marked(pipeline, *tables):
        pipeline.load()


def values(pipeline: dlt.Pipeline, table: str, column: str = "id") -> list[Any]:
    return sorted(row[0] for row in pipeline.dataset()[table].select(column).fetchall())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", DESTINATIONS)
@pytest.mark.parametrize(
    "interrupted", [(), ("items",), ("items__lines",), ("items__lines__parts",)]
)
def test_rows_of_nested_tables_are_there_once(
    make_pipeline: MakePipeline, kind: str, interrupted: tuple[str, ...]
) -> None:
    pipeline = make_pipeline(kind)
    pipeline.run([{"id": 0, "lines": [{"line": 0, "parts": [{"part": 0}]}]}], table_name="items")
    interrupt(pipeline, BOUGHT, *interrupted, table_name="items")
    finish_pending(make_pipeline(kind))

    assert values(pipeline, "items") == [0, 1, 2]
    assert values(pipeline, "items__lines", "line") == [0, 1, 2]
    assert values(pipeline, "items__lines__parts", "part") == [0, 1, 2]


def test_rows_are_there_twice_with_dlt_alone(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    interrupt(pipeline, BOUGHT, table_name="items")
    make_pipeline().load()

    assert values(pipeline, "items") == [1, 1, 2, 2]
    assert values(pipeline, "items__lines", "line") == [1, 1, 2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("write_disposition", ["append", "replace"])
def test_frames_with_the_id_of_the_load_are_told_by_it(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch, write_disposition: str
) -> None:
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true")
    monkeypatch.setenv("DATA_WRITER__FILE_MAX_ITEMS", "2")
    pipeline = make_pipeline()
    load = {"table_name": "frames", "write_disposition": write_disposition}
    pipeline.run(pa.table({"id": [0]}), **load)
    interrupt(pipeline, [pa.table({"id": [1, 2]}), pa.table({"id": [3]})], **load)
    finish_pending(make_pipeline())

    assert values(pipeline, "frames") == [0, 1, 2, 3][write_disposition == "replace" :]


def test_marked_files_of_frames_return_where_one_of_them_is_in_doubt(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true")
    monkeypatch.setenv("DATA_WRITER__FILE_MAX_ITEMS", "1")
    monkeypatch.setenv("DATA_WRITER__BUFFER_MAX_ITEMS", "1")
    pipeline = make_pipeline()
    pipeline.extract([pa.table({"id": [1]}), pa.table({"id": [2]})], table_name="frames")
    pipeline.normalize()
    with committed_and_not_marked(pipeline):
        pipeline.load()
    started = Path(pipeline.working_dir) / "load" / "normalized"
    first, *others = sorted(started.glob("*/started_jobs/frames.*"))
    first.rename(first.parents[1] / "completed_jobs" / first.name)
    finish_pending(make_pipeline())

    assert others
    assert values(pipeline, "frames") == [1, 2]


@pytest.mark.slow
def test_frames_that_replace_a_table_need_no_id(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    for rows in ([0], [1, 2]):
        frame = pa.table({"id": rows})
        interrupt(pipeline, frame, table_name="frames", write_disposition="replace")
        finish_pending(make_pipeline())

    assert values(pipeline, "frames") == [1, 2]


def test_frames_that_are_merged_need_no_id(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    load = {"table_name": "frames", "write_disposition": "merge", "primary_key": "id"}
    pipeline.run(pa.table({"id": [0]}), **load)
    pipeline.extract(pa.table({"id": [1, 2]}), **load)
    pipeline.normalize()
    with committed_and_not_marked(pipeline):
        pipeline.load()
    finish_pending(make_pipeline())

    assert values(pipeline, "frames") == [0, 1, 2]


def test_appended_frames_without_ids_may_be_there_twice_and_that_is_told(
    make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = make_pipeline()
    interrupt(pipeline, pa.table({"id": [1]}), table_name="frames")
    with caplog.at_level(logging.WARNING):
        finish_pending(make_pipeline())

    assert values(pipeline, "frames") == [1, 1]
    assert "table `frames` was interrupted without `_dlt_load_id`" in caplog.text


def test_rows_that_other_loads_brought_with_the_same_ids_stay(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    rows = [{"id": 1, "_dlt_id": "mine"}]
    pipeline.run(rows, table_name="items")
    interrupt(pipeline, rows, table_name="items")
    finish_pending(make_pipeline())

    assert values(pipeline, "items") == [1, 1]


def test_a_destination_where_nothing_can_be_removed_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[Any] = []

    def make() -> dlt.Pipeline:
        sink = dlt.destinations.destination(lambda items, table: written.extend(items), name="sink")
        return dlt.pipeline("sunk", pipelines_dir=str(tmp_path), destination=sink)

    interrupt(make(), [{"id": 1}], table_name="items")
    with caplog.at_level(logging.WARNING):
        finish_pending(make())

    assert [item["id"] for item in written] == [1, 1]
    assert "table `items` was interrupted at a destination where nothing can be" in caplog.text


def test_a_table_that_was_dropped_meanwhile_is_the_error_of_dlt(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline()
    interrupt(pipeline, BOUGHT, table_name="items")
    with pipeline.sql_client() as client:
        client.execute_sql("DROP TABLE items")
    with pytest.raises(PipelineStepFailed, match="items") as caught:
        finish_pending(make_pipeline())

    assert caught.value.step == "load"
