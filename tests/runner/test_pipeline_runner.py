"""`runner(pipeline).run(...)`: pending data first, then the new ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import current
from dlthub_project.runner import runner


def ids(pipeline: dlt.Pipeline, table: str = "items") -> list[int]:
    return sorted(row[0] for row in pipeline.dataset()[table].select("id").fetchall())


def a_pipeline() -> dlt.Pipeline:
    return dlt.pipeline("made_in_code", destination="duckdb", dataset_name="code_data")


@contextmanager
def out_of_reach(database: Path) -> Iterator[None]:
    away = database.with_suffix(".away")
    database.rename(away)
    database.mkdir()
    yield
    database.rmdir()
    away.rename(database)


def test_a_pipeline_made_in_code_runs_as_with_dlt_alone(shop: Path) -> None:
    pipeline = a_pipeline()
    info = runner(pipeline).run([{"id": 1}], table_name="items", write_disposition="replace")

    assert info.dataset_name == "code_data"
    assert ids(pipeline) == [1]


def test_data_left_extracted_are_finished_first_and_the_new_data_are_loaded_too(
    shop: Path,
) -> None:
    pipeline = a_pipeline()
    # before the dataset exists: here `dlt.Pipeline.run` would wipe what is pending
    pipeline.extract([{"id": 1}], table_name="items")
    info = runner(a_pipeline()).run([{"id": 2}], table_name="items")

    assert ids(pipeline) == [1, 2]
    assert len(info.loads_ids) == 1
    assert not pipeline.has_pending_data


def test_data_left_normalized_are_finished_first(shop: Path) -> None:
    pipeline = a_pipeline()
    runner(pipeline).run([{"id": 1}], table_name="items")
    pipeline.extract([{"id": 2}], table_name="items")
    pipeline.normalize()
    runner(a_pipeline()).run([{"id": 3}], table_name="items")

    assert ids(pipeline) == [1, 2, 3]


def test_data_of_several_failed_runs_are_all_finished(shop: Path) -> None:
    pipeline = a_pipeline()
    pipeline.extract([{"id": 1}], table_name="items")
    pipeline.normalize()
    pipeline.extract([{"id": 2}], table_name="items")
    pipeline.extract([{"id": 3}], table_name="items")
    runner(a_pipeline()).run([{"id": 4}], table_name="items")

    assert ids(pipeline) == [1, 2, 3, 4]


def test_data_of_a_run_that_failed_while_loading_are_loaded_by_the_next(shop: Path) -> None:
    manager = current.runner()
    pipeline = manager.entities.get_pipeline("load_orders")
    manager.run(pipeline, data=[{"id": 1}], table_name="items")
    pipeline.extract([{"id": 2}], table_name="items")
    database = shop / "_data" / "dev" / "local" / "warehouse.duckdb"
    with out_of_reach(database), pytest.raises(PipelineStepFailed):
        manager.run(pipeline, data=[{"id": 3}], table_name="items")
    manager.run_pipeline("load_orders", data=[{"id": 4}], table_name="items")

    # 3 was never extracted: the run failed before
    assert ids(pipeline) == [1, 2, 4]


def test_pending_data_are_loaded_where_the_run_has_nothing_new(shop: Path) -> None:
    pipeline = a_pipeline()
    pipeline.extract([{"id": 1}], table_name="items")
    runner(a_pipeline()).run([], table_name="items")

    assert ids(pipeline) == [1]


def test_the_incremental_cursor_goes_on_after_a_finished_run(shop: Path) -> None:
    def items(until: int) -> Any:
        @dlt.resource(name="items")
        def rows(id: Any = dlt.sources.incremental("id")) -> Any:
            yield [{"id": i} for i in range(1, until + 1)]

        return rows

    pipeline = a_pipeline()
    pipeline.extract(items(2))
    runner(a_pipeline()).run(items(3))

    assert ids(pipeline) == [1, 2, 3]
