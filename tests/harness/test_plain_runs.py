"""`dlt_run` is plain dlt: what it does to arguments, functions and faults is what dlt does."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from interrupted import committed_and_not_marked

from pytest_dlthub import DltRun, DltRuns, PipelineRun


def append(*ids: int) -> dict[str, Any]:
    return {"data": [{"id": i} for i in ids], "table_name": "items"}


def ids(run: PipelineRun) -> list[int]:
    return sorted(row["id"] for row in run.rows("items"))


# dlt tells of the pending package by a method that Python calls deprecated
pending = pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")


def leave_a_commit_unmarked(pipeline: dlt.Pipeline) -> None:
    """Leave a package as a killed process does: its rows are there, and dlt does not know."""
    pipeline.extract([{"id": 1}], table_name="items")
    pipeline.normalize()
    with committed_and_not_marked(pipeline):
        pipeline.load()


@pending
@pytest.mark.parametrize(
    ("runner", "expected"),
    [
        # dlt loads the job again, and stops after the pending package
        (False, [1, 1]),
        (True, [1, 2]),
    ],
)
def test_a_pending_commit_is_handled_as_production_does(
    dlt_run: DltRun, runner: bool, expected: list[int]
) -> None:
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
    leave_a_commit_unmarked(pipeline)

    run = dlt_run(**append(2), pipeline=pipeline, runner=runner)

    assert ids(run) == expected


@pending
def test_next_is_plain_dlt_too(dlt_run: DltRun) -> None:
    first = dlt_run(**append(0))
    leave_a_commit_unmarked(first.pipeline)

    assert ids(first.next(data=[{"id": 2}])) == [0, 1, 1]


def test_next_with_another_dataset_loads_it(dlt_run: DltRun) -> None:
    first = dlt_run(**append(1), dataset_name="first")

    second = first.next(data=[{"id": 2}], dataset_name="second")

    assert second.dataset.dataset_name == "second"
    assert ids(second) == [2]


def test_a_pipeline_that_is_made_takes_what_its_run_takes(dlt_run: DltRun) -> None:
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="first")

    run = dlt_run(**append(1), pipeline=pipeline, dataset_name="second")

    assert run.dataset.dataset_name == "second"


def test_the_destination_of_a_run_is_honoured(dlt_run: DltRun) -> None:
    pipeline = dlt.pipeline("shop", dataset_name="data")

    run = dlt_run(**append(1), pipeline=pipeline, destination="filesystem")

    assert run.pipeline.destination is not None
    assert run.pipeline.destination.destination_name == "filesystem"
    assert ids(run) == [1]


@pytest.mark.parametrize("name", ["dev_mode", "pipelines_dir", "progress", "import_schema_path"])
def test_what_only_makes_a_pipeline_is_refused_where_there_is_one(
    dlt_run: DltRun, name: str
) -> None:
    first = dlt_run(**append(1))

    for again in (first.next, functools.partial(dlt_run, **append(2), pipeline=first.pipeline)):
        with pytest.raises(TypeError, match=f"takes no `{name}`; give it to dlt.pipeline"):
            again(**{name: "x"})
    assert ids(first) == [1]


def test_a_refresh_is_applied_once(dlt_run: DltRun) -> None:
    first = dlt_run(**append(1))
    assert ids(first.next(data=[{"id": 2}], refresh="drop_sources")) == [2]

    refreshed = dlt_run(**append(3), pipeline=first.pipeline, refresh="drop_sources")
    assert ids(refreshed) == [3]
    assert ids(refreshed.next(data=[{"id": 4}])) == [3, 4]


def test_a_refresh_of_the_first_run_is_no_part_of_its_pipeline(dlt_run: DltRun) -> None:
    first = dlt_run(**append(1), refresh="drop_sources")

    assert ids(first.next(data=[{"id": 2}])) == [1, 2]


def test_rows_and_dataset_are_those_of_now(dlt_run: DltRun) -> None:
    first = dlt_run(**append(1))
    assert first.rows("items") == [{"id": 1}]

    first.next(data=[{"id": 2, "colour": "red"}])

    assert first.rows("items") == [{"id": 1, "colour": None}, {"id": 2, "colour": "red"}]
    assert "colour" in first.dataset.table("items").columns_schema


@dlt.resource
def orders() -> Iterator[Any]:
    yield [{"id": 1}]


@dlt.source
def shop() -> Any:
    return orders


class Maker:
    def __call__(self) -> Any:
        return shop()

    def made(self) -> Any:
        return [orders(), dlt.resource([{"id": 9}], name="lines")]


def make() -> Any:
    return shop()


MAKERS: dict[str, Any] = {
    "function": make,
    "lambda": lambda: shop(),
    "partial": functools.partial(lambda first: first(), shop),
    "object": Maker(),
    "method": Maker().made,
    "source": shop,
    "list": [make],
    "mapping": lambda: {"orders": orders(), "lines": dlt.resource([{"id": 9}], name="lines")},
    "resources of a source": lambda: shop().resources,
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("made", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("given", [None, {"orders": [{"id": 5}]}], ids=["plain", "given"])
def test_a_function_that_makes_sources_is_called(dlt_run: DltRun, made: Any, given: Any) -> None:
    run = dlt_run(made, given=given)

    assert run.rows("orders")[0] == {"id": 5 if given else 1}
    assert set(run.tables) <= {"orders", "lines"}


def rows_with_state() -> Any:
    dlt.current.source_state()["seen"] = True
    return [{"id": 1}]


def generator() -> Iterator[Any]:
    yield {"id": 1}


async def generator_to_await() -> AsyncIterator[Any]:
    yield {"id": 1}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("function", [rows_with_state, generator, generator_to_await])
def test_a_function_that_makes_rows_is_left_to_dlt(
    dlt_run: DltRun, function: Callable[[], Any]
) -> None:
    run = dlt_run(function)

    assert run.rows(function.__name__) == [{"id": 1}]


def test_a_function_that_returns_rows_is_called_once(dlt_run: DltRun) -> None:
    calls = []

    def items() -> Any:
        calls.append(1)
        return [{"id": 1}]

    assert dlt_run(items).rows("items") == [{"id": 1}]
    assert calls == [1]


def test_runs_are_found_by_the_name_of_their_pipeline(dlt_runs: DltRuns) -> None:
    for name in ("one", "two", "one"):
        dlt.pipeline(name, destination="duckdb").run([{"id": len(dlt_runs)}], table_name="items")

    assert dlt_runs["one"] is dlt_runs[2]
    assert dlt_runs["two"] is dlt_runs[1]
    with pytest.raises(KeyError, match=r"not run in this test\. Known: one, two\. Did you mean"):
        dlt_runs["ones"]


def shop_pipeline() -> dlt.Pipeline:
    return dlt.pipeline("shop", destination="duckdb", dataset_name="data")


def test_a_load_after_a_run_is_no_run_of_its_own(dlt_runs: DltRuns) -> None:
    pipeline = shop_pipeline()
    pipeline.run(**append(1))

    pipeline.load()
    dlt.attach("shop").load()

    assert [run.row_counts for run in dlt_runs] == [{"items": 1}]


def test_a_run_without_data_has_no_rows(dlt_run: DltRun, dlt_runs: DltRuns) -> None:
    pipeline = shop_pipeline()
    pipeline.run(**append(1, 2))
    pipeline.run()
    pipeline.run(**append())
    dlt_run(None, pipeline=pipeline)

    assert [run.row_counts for run in dlt_runs] == [{"items": 2}, {}, {}, {}]
    assert dlt_run(None, pipeline=pipeline).row_counts == {}


def test_steps_by_hand_are_one_run_with_or_without_rows(dlt_runs: DltRuns) -> None:
    pipeline = shop_pipeline()
    pipeline.run(**append(1))
    for ids in ([2, 3], [], [4]):
        pipeline.extract(**append(*ids))
        pipeline.normalize()
        pipeline.load()

    assert [run.row_counts.get("items") for run in dlt_runs] == [1, 2, None, 1]


def test_packages_that_are_loaded_together_are_counted_together(dlt_runs: DltRuns) -> None:
    pipeline = shop_pipeline()
    pipeline.run(**append(0))
    for ids in ([1], [2, 3]):
        pipeline.extract(**append(*ids))
        pipeline.normalize()
    pipeline.load()

    assert [run.row_counts for run in dlt_runs] == [{"items": 1}, {"items": 3}]


def test_the_trace_of_a_run_has_no_steps_of_later_ones(dlt_run: DltRun) -> None:
    run = dlt_run(**append(1))
    assert run.trace is not None
    steps = [step.step for step in run.trace.steps]

    run.pipeline.load()

    assert [step.step for step in run.trace.steps] == steps


def test_a_run_warns_of_arrow_data_whose_values_the_table_changes(dlt_run: DltRun) -> None:
    run = dlt_run(pa.table({"price": [1]}), table_name="items")
    run = run.next(data=pa.table({"price": [2.0]}))
    with pytest.warns(UserWarning, match="`price` of table `items` is bigint, and .* double"):
        run = run.next(data=pa.table({"price": [1.7]}))
    assert [row["price"] for row in run.rows("items")] == [1, 2, 2]

    hinted: Any = dlt.resource(
        pa.table({"at": [dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone.utc)]}),
        name="days",
        columns={"at": {"data_type": "date"}},
    )
    with pytest.warns(UserWarning, match="`at` of table `days` is date, and .* timestamp"):
        dlt_run(hinted)


@pytest.mark.usefixtures("dlt_isolated")
def test_runs_of_the_user_warn_of_it_too() -> None:
    def main(price: Any) -> None:
        pipeline = dlt.pipeline("p", destination="duckdb")
        pipeline.extract(pa.table({"price": [price]}), table_name="items")
        pipeline.normalize()
        pipeline.load()

    main(1)
    main(2.0)
    with pytest.warns(UserWarning, match="`price` of table `items` is bigint, and") as warned:
        main(1.7)
    assert {each.filename for each in warned} == {__file__}
    with pytest.warns(UserWarning, match="`price` of table `items`"):
        dlt.pipeline("p", destination="duckdb").run(
            pa.table({"price": [2.5]}), table_name="items", write_disposition="replace"
        )


def test_rows_are_counted_without_a_trace(
    dlt_run: DltRun, dlt_runs: DltRuns, dlt_config: Any
) -> None:
    traced = dlt_run(**append(1, 2, 3))
    dlt_config["enable_runtime_trace"] = False

    run = dlt_run([{"id": 4, "lines": [{"n": 1}, {"n": 2}]}], table_name="items")
    assert run.pipeline.config.enable_runtime_trace is False
    assert run.row_counts == {"items": 1, "items__lines": 2}
    assert run.next(data=[{"id": 5}]).row_counts == {"items": 1}
    assert traced.row_counts == {"items": 3}

    pipeline = dlt.pipeline("own", destination="duckdb", dataset_name="data")
    pipeline.run([{"id": 1}], table_name="t")
    assert dlt_runs.last.row_counts == {"t": 1}


@dlt.source
def shop() -> Any:
    return dlt.resource([{"id": 1}], name="orders")


async def yield_shops() -> AsyncIterator[Any]:
    yield shop()


def yield_orders() -> Iterator[Any]:
    yield [shop().resources["orders"]]


def yield_shop() -> Iterator[Any]:
    yield shop()


@pytest.mark.parametrize("make", [yield_shops, yield_orders, yield_shop])
def test_error_when_a_function_yields_sources_as_rows(dlt_run: DltRun, make: Any) -> None:
    name = make.__name__
    with pytest.raises(PipelineStepFailed, match=f"`{name}` yields or returns the .* as if"):
        dlt_run(make)
    with pytest.raises(PipelineStepFailed, match="as if it were a row"):
        dlt.pipeline("own", destination="duckdb").run(dlt.resource(make, name="own"))
