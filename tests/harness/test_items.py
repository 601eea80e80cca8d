"""`dlt_items`: what resources and sources yield, without a load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pandas as pd
import pyarrow as pa
import pytest

from dlthub_project import EntityNotFound, SourceUsedUp
from pytest_dlthub import DltItems, DltRun

RunTests = Callable[..., pytest.RunResult]


@dlt.resource
def comments(at: Any = dlt.sources.incremental("at", initial_value=0)) -> Any:
    state = dlt.current.resource_state()
    state["calls"] = state.get("calls", 0) + 1
    yield [{"id": 1, "at": 1}, {"id": 2, "at": 3}]
    yield {"id": 3, "at": 2}


@dlt.source
def shop(token: str = dlt.secrets.value) -> Any:
    @dlt.resource
    def orders() -> Any:
        raise RuntimeError(f"the network is asked with {token}")
        yield

    @dlt.transformer(data_from=orders)
    def details(order: Any) -> Any:
        yield {"order": order["id"], "price": order["id"] * 10}

    @dlt.resource
    def empty() -> Any:
        yield from ()

    return orders, details.add_filter(lambda row: row["order"] != 2), empty


GIVEN: dict[str, Any] = {"orders": [{"id": 1}, {"id": 2}]}


def test_a_resource_gives_a_list_and_goes_on_from_its_state(dlt_items: DltItems) -> None:
    assert dlt_items(comments) == [{"id": 1, "at": 1}, {"id": 2, "at": 3}, {"id": 3, "at": 2}]
    assert dlt_items.cursors == {"comments.at": 3}
    assert dlt_items(comments()) == []
    assert dlt_items(comments, given={"comments": [{"at": 2}, {"at": 4}]}) == [{"at": 4}]
    assert dlt_items.cursors == {"comments.at": 4}
    # what is given is in the place of the function
    assert dlt_items.state("comments")["calls"] == 2
    assert dlt_items.state("other") == {}


def test_pipelines_of_the_test_have_states_of_their_own(
    dlt_items: DltItems, dlt_run: DltRun
) -> None:
    assert dlt_run(comments).row_counts == {"comments": 3}
    assert len(dlt_items(comments)) == 3
    assert dlt_run(comments).row_counts == {}
    assert dlt_items(comments, limit=1, given={"comments": [[{"at": 8}], [{"at": 9}]]}) == [
        {"at": 8}
    ]


def test_a_source_gives_lists_by_resource(dlt_items: DltItems) -> None:
    given: dict[str, Any] = {**GIVEN, "empty": [{"id": 7}]}

    assert dlt_items(shop, given=given) == {
        "orders": [{"id": 1}, {"id": 2}],
        "details": [{"order": 1, "price": 10}],
        "empty": [{"id": 7}],
    }
    assert dlt_items(shop("x").with_resources("empty")) == {"empty": []}
    assert dlt_items(shop("x"), resources=["empty"]) == {"empty": []}
    with pytest.raises(EntityNotFound, match="Did you mean `orders`"):
        dlt_items(shop, given={"order": []})


def test_a_transformer_takes_the_rows_of_its_parent(dlt_items: DltItems) -> None:
    details = shop("x").resources["details"]

    assert dlt_items(details, given=GIVEN) == [{"order": 1, "price": 10}]
    assert dlt_items([{"id": 4}] | details) == [{"order": 4, "price": 40}]
    assert dlt_items(details, given={"details": [{"order": 3}]}) == [{"order": 3}]


def test_a_failure_leaves_the_state_as_it_was(dlt_items: DltItems) -> None:
    class Broken(Exception):
        """The API is down."""

    @dlt.resource
    def pages(at: Any = dlt.sources.incremental("at", initial_value=0)) -> Any:
        yield {"at": 5}
        if at.start_value == 0 and not broken:
            return
        raise Broken

    broken = [1]
    with pytest.raises(Exception, match="pages") as caught:
        dlt_items(pages)
    assert isinstance(caught.value.__cause__, Broken)
    assert dlt_items.cursors == {}
    broken.clear()
    assert dlt_items(pages) == [{"at": 5}]


def test_a_state_that_production_cannot_store_is_an_error(dlt_items: DltItems) -> None:
    @dlt.resource
    def rows() -> Any:
        dlt.current.resource_state()["seen"] = object()
        yield {"id": 1}

    with pytest.raises(TypeError, match="not JSON serializable"):
        dlt_items(rows)
    assert dlt_items.state("rows") == {}


def test_frames_and_arrow_tables_are_items(dlt_items: DltItems) -> None:
    table = pa.table({"id": [1, 2]})

    @dlt.resource
    def frames() -> Any:
        yield table
        yield [pd.DataFrame({"id": [3]}), table]

    first, second, third = dlt_items(frames)
    assert first is third is table
    assert second["id"].tolist() == [3]

    @dlt.resource
    def since(id: Any = dlt.sources.incremental("id")) -> Any:
        yield table

    assert [item.to_pylist() for item in dlt_items(since)] == [table.to_pylist()]
    assert dlt_items.cursors == {"since.id": 2}


def test_marks_of_dlt_are_no_items(dlt_items: DltItems) -> None:
    @dlt.resource
    def events() -> Any:
        yield dlt.mark.with_table_name({"id": 1}, "clicks")
        yield dlt.mark.with_hints({"id": 2}, dlt.mark.make_hints(primary_key="id"))
        yield dlt.mark.materialize_table_schema()

    assert dlt_items(events) == [{"id": 1}, {"id": 2}]


def test_resources_in_parallel_and_async_ones_have_the_state(dlt_items: DltItems) -> None:
    def parallel(name: str) -> Any:
        @dlt.resource(name=name, parallelized=True)
        def rows(id: Any = dlt.sources.incremental("id", initial_value=1)) -> Any:
            dlt.current.source_state()[name] = True
            yield from ({"id": 1}, {"id": 2})

        return rows

    @dlt.resource(name="async")
    async def later() -> Any:
        yield {"id": 9}

    made = dlt.source(lambda: (parallel("a"), parallel("b"), later), name="both")
    found = dlt_items(made())

    assert found == {"a": [{"id": 1}, {"id": 2}], "b": [{"id": 1}, {"id": 2}], "async": [{"id": 9}]}
    assert dlt_items(made()) == {"a": [], "b": [], "async": [{"id": 9}]}
    assert dlt_items.cursors == {"a.id": 2, "b.id": 2}


def test_what_is_used_up_or_no_source_is_an_error(dlt_items: DltItems) -> None:
    once = dlt.resource(({"id": i} for i in range(2)), name="once")
    assert dlt_items(once) == [{"id": 0}, {"id": 1}]
    with pytest.raises(SourceUsedUp, match="`once` reads a generator"):
        dlt_items(once)
    # it is not asked
    assert dlt_items(once, given={"once": [{"id": 7}]}) == [{"id": 7}]

    numbers = dlt.resource(iter([1, 2]), name="numbers")
    doubled = numbers | dlt.transformer(lambda n: {"n": 2 * n}, name="doubled")
    assert dlt_items(doubled) == [{"n": 2}, {"n": 4}]
    with pytest.raises(SourceUsedUp, match="`doubled` reads a generator"):
        dlt_items(doubled)

    with pytest.raises(TypeError, match="needs dlt sources or resources, not dict"):
        dlt_items({"id": 1})
    with pytest.raises(TypeError, match="one source or resource is expected, not 2"):
        dlt_items([comments, once])
    with pytest.raises(TypeError, match="dlt_items: hints= are for rows in given="):
        dlt_items(comments, hints={"comments": {}})


def test_a_project_has_it_too(run_tests: RunTests, shop: Path) -> None:
    (shop / "items.csv").write_text("id\n7\n")

    result = run_tests(
        """
        def test_it(dlt_project, dlt_items):
            source = dlt_project.source("orders")
            assert [row["id"] for row in dlt_items(source)["items"]] == [1, 2, 3]
            items = source().resources["items"]
            assert dlt_items(items, given={"items": "items.csv"}) == [{"id": 7}]
        """
    )

    result.assert_outcomes(passed=1)
