"""What a run writes into sources that outlive its sandbox is not there in the next one."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed
from pydantic import BaseModel

from dlthub_project.sandbox import isolated
from dlthub_project.sandbox.lasting_sources import undone

if TYPE_CHECKING:
    from conftest import MakeSandbox


COLUMNS_ARE_FIXED: Any = {"columns": "freeze"}


class Order(BaseModel):
    id: str


@dlt.source
def shop(mark: dict[str, Any] | None = None) -> Any:
    @dlt.resource(incremental=dlt.sources.incremental("id"))
    def orders() -> Any:
        rows = [{"id": 1, "name": "Ada", "lines": [{"n": 1}]}]
        yield dlt.mark.with_hints(rows, dlt.mark.make_hints(**mark)) if mark else rows

    return orders


def extracted(source: Any, **arguments: Any) -> Schema:
    """Extract into a new pipeline, and return the schema that it has then."""
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
    pipeline.extract(source, **arguments)
    return pipeline.default_schema


def table(source: Any, **arguments: Any) -> Any:
    return extracted(source, **arguments).tables["orders"]


def twice(source: Any) -> None:
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
    for _ in range(2):
        # of the second on, a pipeline gives the source a schema of its own
        pipeline.extract(source)
        pipeline.normalize()


def with_validator(source: Any) -> None:
    # the number is no text
    with pytest.raises(PipelineStepFailed):
        extracted(source, columns=Order)


RUNS: dict[str, Callable[[Any], Any]] = {
    "twice": twice,
    "write_disposition": lambda source: extracted(source, write_disposition="replace"),
    "primary_key": lambda source: extracted(source, primary_key="name"),
    "columns": lambda source: extracted(source, columns={"id": {"data_type": "text"}}),
    "validator": with_validator,
    "schema_contract": lambda source: extracted(source, schema_contract=COLUMNS_ARE_FIXED),
    "schema": lambda source: extracted(source, schema=Schema("other")),
    "resource": lambda source: extracted(source.orders, write_disposition="replace"),
    "list of resources": lambda source: extracted([source.orders], write_disposition="replace"),
    "copy": lambda source: extracted(
        source.with_resources("orders"), schema_contract=COLUMNS_ARE_FIXED
    ),
}


def state(source: Any) -> Any:
    resource = source.orders
    return (
        deepcopy(source.schema.to_dict(bump_version=False)),
        dict(resource._hints),
        list(resource._pipe.steps),
        resource.incremental.primary_key,
    )


# of one kind with others
_FURTHER = ("columns", "list of resources", "primary_key", "resource", "schema")


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, id=name, marks=pytest.mark.slow if name in _FURTHER else ())
        for name, run in RUNS.items()
    ],
)
def test_what_a_run_tells_a_source_ends_with_its_test(
    make_sandbox: MakeSandbox, run: Callable[[Any], Any]
) -> None:
    # as a module makes it, once
    source = shop()
    before = state(source)

    with isolated(make_sandbox("first")):
        run(source)

    assert state(source) == before
    with isolated(make_sandbox("second")):
        seen = extracted(source)
        assert seen.name == "shop"
        assert seen.settings.get("schema_contract") is None
        assert seen.tables["orders"]["write_disposition"] == "append"
        assert "primary_key" not in seen.tables["orders"]["columns"].get("name", {})


def test_hints_that_come_with_rows_are_of_the_test_that_has_the_rows(
    make_sandbox: MakeSandbox,
) -> None:
    marks: dict[str, Any] = {"write_disposition": "replace", "table_name": "orders"}
    source = shop(marks)

    with isolated(make_sandbox("first")):
        assert table(source)["write_disposition"] == "replace"
    marks.clear()

    with isolated(make_sandbox("second")):
        assert table(source)["write_disposition"] == "append"


def test_what_a_run_in_a_sandbox_that_lasts_tells_a_source_is_not_seen_beside_it(
    make_sandbox: MakeSandbox,
) -> None:
    source = shop()
    with isolated(make_sandbox("of_module")):
        pipeline = dlt.pipeline("wide", destination="duckdb", dataset_name="data")
        pipeline.extract(source, write_disposition="replace", schema_contract=COLUMNS_ARE_FIXED)

        with isolated(make_sandbox("of_test")):
            seen = extracted(source)

            assert seen.tables["orders"]["write_disposition"] == "append"
            assert seen.settings.get("schema_contract") is None
            # what it has loaded stays, and is not the source's again when it is looked at
            assert pipeline.default_schema.tables["orders"]["write_disposition"] == "replace"
            assert seen.tables["orders"]["write_disposition"] == "append"

        assert pipeline.default_schema.settings["schema_contract"] == COLUMNS_ARE_FIXED


def test_what_code_changes_after_a_run_stays(make_sandbox: MakeSandbox) -> None:
    source = shop()
    with isolated(make_sandbox("first")):
        extracted(source, write_disposition="replace")
        source.max_table_nesting = 0
        source.orders.add_map(lambda row: {**row, "added": True})
        source.orders.apply_hints(columns={"name": {"nullable": False}})

    with isolated(make_sandbox("second")):
        orders = table(source)

        assert source.max_table_nesting == 0
        assert "MapItem" in [type(step).__name__ for step in source.orders._pipe.steps]
        assert orders["columns"]["name"]["nullable"] is False
        assert orders["write_disposition"] == "append"


def test_what_a_test_sets_before_its_run_holds_whichever_test_ran_before(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shop()
    with isolated(make_sandbox("first")):
        extracted(source)

    monkeypatch.setattr(source, "schema_contract", {"tables": "freeze"})
    with isolated(make_sandbox("second")), pytest.raises(PipelineStepFailed, match="are frozen"):
        extracted(source)

    monkeypatch.undo()
    with isolated(make_sandbox("third")):
        assert "orders" in extracted(source).tables


@pytest.mark.parametrize(
    ("before", "after", "now", "then"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}, {}),
        ({"a": {"b": 1}}, {}, {}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"b": 5, "c": 2}}, {"a": {"b": 5}}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {}, {}),
        ((len,), (len, max), (min, len, max), (min, len)),
        ((len, max), (len,), (len, min), (len, max, min)),
        ([1], [1, 2], [1, 2, 3], [1, 2, 3]),
    ],
)
def test_of_what_is_there_now_that_goes_which_a_run_has_put_there(
    before: Any, after: Any, now: Any, then: Any
) -> None:
    assert undone(before, after, now) == then
