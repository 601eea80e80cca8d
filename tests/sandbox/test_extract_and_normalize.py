"""What resources ask of a destination that is replaced: kept, dropped, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import dlt
import pytest
from dlt.common.schema.typing import TLoaderMergeStrategy

from dlthub_project import MergeStrategyNotSupported
from dlthub_project.sandbox import changed_destinations, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject


def merged(strategy: str | None) -> Any:
    disposition: Any = {"disposition": "merge", "strategy": strategy} if strategy else "merge"

    @dlt.resource(primary_key="id", write_disposition=disposition)
    def orders(price: int) -> Iterator[Any]:
        yield {"id": 1, "price": price, "lines": [{"n": 1}]}

    return orders


def has_strategy(strategy: str) -> bool:
    capabilities = dlt.destinations.duckdb().capabilities()
    strategies = capabilities.supported_merge_strategies
    selector = capabilities.merge_strategies_selector
    return strategy in (selector(strategies, table_schema={}) if selector else strategies)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", get_args(TLoaderMergeStrategy))
def test_strategy_of_production_is_that_of_tests_or_an_error(
    make_sandbox: MakeSandbox, strategy: str
) -> None:
    orders = merged(strategy)

    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("merges", destination="snowflake", dataset_name="data")
        if not has_strategy(strategy):
            with pytest.raises(MergeStrategyNotSupported, match="Newer versions of DuckDB"):
                pipeline.run(orders(1))
            return
        pipeline.run(orders(1))
        pipeline.run(orders(2))
        prices = pipeline.dataset().table("orders").select("price").fetchall()

    expected = {"scd2": [(1,), (2,)], "insert-only": [(1,)]}
    assert sorted(prices) == expected.get(strategy, [(2,)])


@pytest.mark.parametrize("strategy", ["upsert", "delete-insert", None])
def test_strategy_that_the_replacement_lacks_is_an_error_and_rows_are_not_appended(
    make_sandbox: MakeSandbox, write_project: WriteProject, strategy: str | None
) -> None:
    project = write_project(
        'destinations: {warehouse: {type: postgres, credentials: "postgresql://db.invalid/prod"}}'
    )
    orders = merged(strategy)

    with isolated(make_sandbox(project=project, every_type="filesystem")):
        pipeline = dlt.pipeline("merges", destination="warehouse", dataset_name="data")
        with pytest.raises(MergeStrategyNotSupported) as raised:
            pipeline.run(orders(1))

    said = str(raised.value)
    wanted = f"with the strategy `{strategy}`" if strategy else "its rows"
    assert f"Resource `orders` merges {wanted}." in said
    assert "destination `warehouse` (postgres)" in said
    assert "a filesystem destination is in its place, which has no merge strategy" in said
    assert "dlt_destinations" in said
    assert '@pytest.mark.dlt_allow_remote("warehouse")' in said


def test_strategy_of_what_was_extracted_without_a_destination_is_an_error_when_it_has_one(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # or dlt forgets what was extracted
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    with isolated(make_sandbox(every_type="filesystem")):
        pipeline = dlt.pipeline("merges", dataset_name="data")
        pipeline.extract(merged("upsert")(1))
        with pytest.raises(MergeStrategyNotSupported, match=r"`orders` .* `snowflake`;"):
            pipeline.run(destination="snowflake")


def test_filesystem_of_production_appends_in_tests_as_it_does_there(
    make_sandbox: MakeSandbox,
) -> None:
    orders = merged(None)

    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("merges", destination="filesystem", dataset_name="data")
        pipeline.run(orders(1))
        pipeline.run(orders(2))
        assert len(pipeline.dataset().table("orders").fetchall()) == 2


@dlt.resource(table_format="delta", columns={"id": {"description": "mine"}})
def by_decorator() -> Iterator[Any]:
    yield {"id": 1}


@dlt.resource
def by_variant() -> Iterator[Any]:
    hints = dlt.mark.make_hints(table_name="by_variant", table_format="iceberg")
    yield dlt.mark.with_hints({"id": 1}, hints, create_table_variant=True)


@dlt.resource(table_format=lambda item: "delta", table_name=lambda item: "dynamic")
def by_function() -> Iterator[Any]:
    yield {"id": 1}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("resource", "told"),
    [
        (by_decorator, "table_format delta of by_decorator dropped"),
        (by_variant, "table_format iceberg of by_variant dropped"),
        (by_function, "table_format delta of dynamic dropped"),
    ],
)
def test_table_format_of_a_resource_is_dropped_without_a_warning(
    make_sandbox: MakeSandbox, resource: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with isolated(make_sandbox()) as sandbox:
        pipeline = dlt.pipeline("lake", destination="athena", dataset_name="data")
        for _ in range(2):
            pipeline.run(resource())
            tables = pipeline.default_schema.data_tables()
            assert [table.get("table_format") for table in tables] == [None]
        assert told in changed_destinations(sandbox.folder)
        assert pipeline.dataset().row_counts().fetchall() == [(tables[0]["name"], 2)]

    assert caplog.text == ""


def test_nothing_else_of_the_schema_is_changed_and_the_resource_keeps_its_hint(
    make_sandbox: MakeSandbox,
) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("lake", destination="athena", dataset_name="data")
        pipeline.run(by_decorator())
        table = pipeline.default_schema.get_table("by_decorator")

        assert table["columns"]["id"]["description"] == "mine"
        assert pipeline.default_schema.version == 2
        assert by_decorator().compute_table_schema()["table_format"] == "delta"


def test_table_format_given_to_run_is_dropped(
    make_sandbox: MakeSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with isolated(make_sandbox()) as sandbox:
        pipeline = dlt.pipeline("lake", destination="athena", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="rows", table_format="iceberg")
        assert "table_format iceberg of rows dropped" in changed_destinations(sandbox.folder)

    assert caplog.text == ""
