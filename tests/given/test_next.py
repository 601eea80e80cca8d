"""`PipelineRun.next`: day 2."""

from __future__ import annotations

from typing import Any

import dlt
import pytest

from pytest_dlthub import DltRun, DltRuns


@dlt.resource(primary_key="id", write_disposition="merge")
def users(since: Any = dlt.sources.incremental("id")) -> Any:
    yield [{"id": 1}, {"id": 2, "emails": [{"to": "a"}]}]


def test_without_arguments_the_same_is_run_again(dlt_run: DltRun) -> None:
    first = dlt_run(users)

    second = first.next()

    assert first.row_counts == {"users": 2, "users__emails": 1}
    assert second.row_counts == {}
    assert len(second.rows("users")) == 2
    assert second.pipeline is first.pipeline


def test_counts_and_schema_changes_are_those_of_that_run_alone(dlt_run: DltRun) -> None:
    first = dlt_run([{"id": 1}], table_name="rows")

    second = first.next(data=[{"id": 2, "colour": "red"}])

    assert second.row_counts == {"rows": 1}
    assert second.schema_changes == {"rows": ["colour"]}
    assert first.schema_changes["rows"][:1] == ["id"]
    assert second.load_info is not None
    assert second.load_info.loads_ids != first.load_info.loads_ids  # type: ignore[union-attr]
    assert [row["id"] for row in first.rows("rows")] == [1, 2]


def test_next_of_next(dlt_run: DltRun) -> None:
    run = dlt_run(users, given={"users": [{"id": 1}]})
    for day in (2, 3):
        run = run.next(given={"users": [{"id": 1}, {"id": day}]})
        assert run.row_counts == {"users": 1}

    assert [row["id"] for row in run.rows("users")] == [1, 2, 3]


def test_arguments_of_the_run_are_kept_and_can_be_changed(dlt_run: DltRun) -> None:
    first = dlt_run([{"id": 1}], table_name="rows", write_disposition="replace")

    assert first.next(data=[{"id": 2}]).rows("rows") == [{"id": 2}]
    assert len(first.next(data=[{"id": 3}], write_disposition="append").rows("rows")) == 2


def test_given_rows_are_replaced_by_data(dlt_run: DltRun) -> None:
    first = dlt_run(users, given={"users": [{"id": 1}]})

    assert first.next(data=[{"id": 5}], table_name="others").row_counts == {"others": 1}


def test_after_the_users_own_function_data_are_needed(dlt_runs: DltRuns) -> None:
    dlt.pipeline("own", destination="duckdb").run([{"id": 1}], table_name="rows")
    run = dlt_runs.last

    with pytest.raises(TypeError, match="next: give data="):
        run.next()
    with pytest.raises(TypeError, match="next: give data="):
        run.next(given={"rows": []})
    assert run.next(data=[{"id": 2}], table_name="rows").rows("rows") == [{"id": 1}, {"id": 2}]


def test_error_when_an_iterator_is_used_up(dlt_run: DltRun) -> None:
    run = dlt_run(iter([{"id": 1}]), table_name="rows")

    with pytest.raises(TypeError, match="the last run has used up an iterator"):
        run.next()


@pytest.mark.dlt_load(source=users, given={"users": [{"id": 1}]})
def test_on_a_loaded_copy(dlt_loaded: Any, dlt_dataset: dlt.Dataset) -> None:
    assert len(dlt_dataset.table("users").fetchall()) == 1

    second = dlt_loaded.next(given={"users": [{"id": 1}, {"id": 2}]})

    assert second.row_counts == {"users": 1}
    assert len(dlt_dataset.table("users").fetchall()) == 2
