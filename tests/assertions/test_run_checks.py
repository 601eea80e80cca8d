"""Assertions about runs: each holds, and each fails with its exact text."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import dlt
import pyarrow
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from pydantic import BaseModel

from pytest_dlthub import (
    DltRun,
    assert_idempotent,
    assert_incremental,
    assert_no_failed_jobs,
    assert_rows,
    raises_contract_violation,
)


def said(check: Callable[..., None], *arguments: Any, **named: Any) -> list[str]:
    with pytest.raises(AssertionError) as failure:
        check(*arguments, **named)
    return str(failure.value).splitlines()


@dlt.resource(columns={"price": {"data_type": "decimal", "precision": 5, "scale": 2}})
def numbers() -> Any:
    yield [{"price": Decimal(1)}]


def test_a_failed_job_is_told_in_the_words_of_the_destination(
    dlt_run: DltRun, dlt_config: Any
) -> None:
    dlt_config["load.raise_on_failed_jobs"] = False
    first = dlt_run(numbers)

    assert_no_failed_jobs(first)
    second = first.next(given={"numbers": [{"price": Decimal(123456789)}]})

    with pytest.raises(TypeError, match="NoneType is no run and no load info"):
        assert_no_failed_jobs(None)  # type: ignore[arg-type]
    words = [
        "numbers.price: job failed: cannot cast 123456789 to DECIMAL(5,2)",
        "Conversion Error: Could not cast value 123456789 to DECIMAL(5,2)",
    ]
    assert said(assert_no_failed_jobs, second) == words
    assert said(assert_no_failed_jobs, second.load_info) == words


@dlt.resource(primary_key="id", write_disposition="merge")
def merged() -> Any:
    yield [{"id": 1, "lines": [{"n": 1}]}, {"id": 2}]


@dlt.resource
def appended() -> Any:
    yield from merged()


@dlt.resource(write_disposition="replace")
def replaced(calls: list[int]) -> Any:
    calls.append(1)
    yield {"id": 1, "call": len(calls)}
    if len(calls) == 2:
        yield {"id": 2, "call": 2, "late": True}


def test_a_run_that_is_repeated_changes_nothing(dlt_run: DltRun) -> None:
    assert_idempotent(dlt_run(merged))

    assert said(assert_idempotent, dlt_run(appended, pipeline_name="appends")) == [
        "a second run changes the result",
        "appended: 2 rows too many: id=1, id=2",
        "appended__lines: 1 row too many: n=1",
    ]
    assert said(assert_idempotent, dlt_run(replaced([]), pipeline_name="replaces")) == [
        "a second run changes the result",
        "replaced: column too many: late",
        "replaced id=1: call 2 != 1",
        "replaced: 1 row too many: id=2",
    ]
    rows = iter([{"id": 1}, {"id": 2}])
    used_up = dlt.resource(lambda: rows, name="used_up")
    assert said(assert_idempotent, dlt_run(used_up, pipeline_name="ends")) == [
        "a second run changes the result",
        "used_up: no rows in the second run, and no state that explains it",
    ]
    assert_idempotent(dlt_run(events, pipeline_name="cursor", given={"events": DAY_1}))
    nothing = dlt_run(merged, pipeline_name="nothing", given={"merged": []})
    assert said(assert_idempotent, nothing) == ["there are no rows, so that nothing is checked"]


@dlt.resource
def events(at: Any = dlt.sources.incremental("at")) -> Any:
    yield from ()


@dlt.resource(primary_key="id", write_disposition="merge")
def merged_events(at: Any = dlt.sources.incremental("seen.at")) -> Any:
    yield from ()


@dlt.resource
def all_events() -> Any:
    yield from ()


# dlt makes moments of these
DAY_1 = [{"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 2, "at": "2026-01-02T00:00:00Z"}]
DAY_2 = [*DAY_1, {"id": 3, "at": "2026-01-02T00:00:00Z"}, {"id": 4, "at": "2026-01-03T00:00:00Z"}]


def test_the_second_run_extracts_what_is_new(dlt_run: DltRun) -> None:
    first = dlt_run(events, given={"events": DAY_1})
    second = first.next(given={"events": DAY_2})
    third = second.next(given={"events": DAY_2})

    assert_incremental(first, second)
    assert said(assert_incremental, second, third) == [
        "events: no rows in the second run, so that nothing is checked"
    ]
    # the cursor is lost
    full = third.next(data=events, given={"events": DAY_2}, refresh="drop_resources")
    assert said(assert_incremental, second, full)[0] == (
        "events: 3 rows before the first run's last at=2026-01-03 00:00:00+00:00"
    )


def test_rows_that_are_extracted_again_are_told(dlt_run: DltRun) -> None:
    first = dlt_run(events, given={"events": DAY_1})
    second = first.next(data=all_events, given={"all_events": DAY_2}, table_name="events")

    assert said(assert_incremental, first, second) == [
        "events: 2 rows of the first run extracted again",
        "  {'id': 1, 'at': datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)}",
        "  {'id': 2, 'at': datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)}",
        "events: 1 row before the first run's last at=2026-01-02 00:00:00+00:00",
        "  {'id': 1, 'at': datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)}",
    ]
    whole = dlt_run(all_events, given={"all_events": DAY_1}, pipeline_name="whole")
    assert said(assert_incremental, whole, whole.next()) == [
        "the first run has left no cursor of dlt.sources.incremental"
    ]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("column", [{}, {"data_type": "timestamp", "timezone": False}])
def test_cursors_without_a_zone(dlt_run: DltRun, column: Any) -> None:
    source = events().apply_hints(columns={"at": column} if column else None) or events()
    days = [[{"at": datetime.datetime(2026, 1, day)}] for day in (1, 2, 3)]  # noqa: DTZ001
    first = dlt_run(source, given={"events": days[1]})
    second = first.next(given={"events": days[2]})

    assert_incremental(first, second)
    late = first.next(data=all_events, given={"all_events": days[0]}, table_name="events")
    assert said(assert_incremental, second, late)[0].startswith(
        "events: 1 row before the first run's last at=2026-01-03"
    )


@dlt.resource
def arrow_events(at: Any = dlt.sources.incremental("at")) -> Any:
    yield from ()


def test_arrow_data_need_the_ids_of_their_loads(dlt_run: DltRun, dlt_config: Any) -> None:
    days = [{"arrow_events": pyarrow.table({"at": [at]})} for at in (1, 2)]
    message = "arrow_events: no column _dlt_load_id, so that nothing is checked; frames and Arrow"

    first = dlt_run(arrow_events, given=days[0])
    assert said(assert_incremental, first, first.next(given=days[1])) == [
        f"{message} data have it with normalize.parquet_normalizer.add_dlt_load_id = true"
    ]
    dlt_config["normalize.parquet_normalizer.add_dlt_load_id"] = True
    first = dlt_run(arrow_events, given=days[0], pipeline_name="with_ids")
    assert_incremental(first, first.next(given=days[1]))


def test_cursor_within_an_object_of_merged_rows(dlt_run: DltRun) -> None:
    name = "merged_events"
    first = dlt_run(
        merged_events, given={name: [{"id": 1, "seen": {"at": 1}}, {"id": 2, "seen": {"at": 5}}]}
    )
    second = first.next(given={name: [{"id": 2, "seen": {"at": 6}}]})
    assert_incremental(first, second)
    # what the cursor would leave out
    third = dlt_run(
        [{"id": 2, "seen": {"at": 4}}],
        pipeline=first.pipeline,
        table_name=name,
        write_disposition="merge",
        primary_key="id",
    )

    assert said(assert_incremental, second, third) == [
        "merged_events: 1 row before the first run's last seen__at=6",
        "  {'id': 2, 'seen__at': 4}",
    ]


@dlt.resource(schema_contract={"columns": "freeze", "data_type": "freeze"})
def frozen() -> Any:
    yield {"id": 1, "total": 1}


class Order(BaseModel):
    model_config = {"extra": "forbid"}
    id: int


@dlt.resource(columns=Order, schema_contract={"columns": "freeze", "data_type": "freeze"})
def typed() -> Any:
    yield {"id": 1}


def test_a_violated_contract_is_named_and_leaves_nothing_pending(dlt_run: DltRun) -> None:
    first = dlt_run(frozen)

    with raises_contract_violation(table="frozen", column="colour", entity="columns") as violation:
        first.next(given={"frozen": [{"id": 2, "colour": "red"}]})
    assert violation.item == {"id": 2, "colour": "red"}
    with raises_contract_violation(entity="data_type"):
        first.next(given={"frozen": [{"id": 2, "total": "seven"}]})

    third = first.next(given={"frozen": [{"id": 3, "total": 3}]})
    assert_rows(third.rows("frozen"), [{"id": 1, "total": 1}, {"id": 3, "total": 3}])


def test_a_violation_of_a_pydantic_model_has_the_name_of_the_column(dlt_run: DltRun) -> None:
    first = dlt_run(typed)

    with raises_contract_violation(table="typed", column="boo", entity="columns"):
        first.next(given={"typed": [{"id": 2, "boo": 1}]})
    with raises_contract_violation(table="typed", column="id", entity="data_type"):
        first.next(given={"typed": [{"id": "x"}]})
    assert first.next().row_counts == {"typed": 1}


@dlt.resource
def broken() -> Any:
    raise OSError("it is down")
    yield


def test_another_violation_or_none_fails(dlt_run: DltRun) -> None:
    first = dlt_run(frozen)

    def violated(given: Any, **expected: str) -> None:
        with raises_contract_violation(**expected):
            first.next(given={"frozen": given})

    assert said(violated, [{"colour": 1}], table="frozen", column="color", entity="data_type") == [
        "another contract is violated",
        "column colour != color",
        "entity columns != data_type",
    ]
    assert said(violated, [{"id": 2}], table="frozen", column="colour") == [
        "no contract is violated: table frozen, column colour"
    ]
    with pytest.raises(PipelineStepFailed, match="is down"), raises_contract_violation():
        dlt_run(broken)
