"""What a run tells of its dataset: rows, columns, state. The same on every destination."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
import sqlglot
from dlt.common.schema.utils import new_table

from pytest_dlthub import DltRun, PipelineRun, Rows, table_rows

RunTests = Callable[..., pytest.RunResult]

ORDERS: list[dict[str, Any]] = [
    {
        "id": 2,
        "buyer": {"name": "Bo"},
        "lines": [
            {"sku": "tea", "notes": ["hot", "sweet"]},
            {"sku": "mug", "notes": []},
            {"sku": "ale", "notes": ["cold"]},
        ],
        "tags": [1, "big"],
        "grid": [[1], [2, 3]],
    },
    {"id": 1, "buyer": {"name": "Ada"}, "lines": [], "tags": [], "grid": []},
    {
        "id": 3,
        "buyer": {"name": None},
        "lines": [{"sku": "tea", "notes": []}],
        "tags": [7],
        "grid": [],
    },
]


@dlt.source
def shop() -> Any:
    @dlt.resource(primary_key="id", write_disposition="merge")
    def orders() -> Any:
        yield ORDERS

    @dlt.resource(columns={"extra": {"data_type": "json"}})
    def log(at: Any = dlt.sources.incremental("at", initial_value="2026-01-01")) -> Any:
        dlt.current.resource_state()["seen"] = 3
        rows = [("b", "2026-01-03"), ("a", "2026-01-09"), ("c", "2026-01-02")]
        yield [{"event": event, "at": day, "extra": [event]} for event, day in rows]

    @dlt.resource(columns={"id": {"data_type": "bigint"}})
    def returns() -> Any:
        yield dlt.mark.materialize_table_schema()

    return orders, log, returns


def destination(name: str, request: pytest.FixtureRequest, folder: Path) -> Any:
    if name == "postgres":
        return dlt.destinations.postgres(request.getfixturevalue("postgres_url"))
    if name == "duckdb":
        return dlt.destinations.duckdb(str(folder / "it.duckdb"))
    return dlt.destinations.filesystem(folder.as_uri())


@pytest.fixture(scope="module", params=["duckdb", "postgres", "filesystem"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PipelineRun]:
    """A run of `shop`, loaded once for all tests of a destination."""
    folder = tmp_path_factory.mktemp(request.param)
    pipeline = dlt.pipeline(
        "rows",
        str(folder / "pipelines"),
        destination=destination(request.param, request, folder),
        dataset_name=f"rows_{uuid.uuid4().hex[:8]}",
    )
    yield PipelineRun(pipeline, pipeline.run(shop()), lambda **_: None)  # type: ignore[arg-type,return-value]
    with pipeline.destination_client() as client:
        client.drop_storage()


def test_the_order_of_rows_is_always_the_same(run: PipelineRun) -> None:
    assert isinstance(run.rows("orders"), Rows)
    assert run.rows("orders").in_order == [
        {"id": 1, "buyer__name": "Ada"},
        {"id": 2, "buyer__name": "Bo"},
        {"id": 3, "buyer__name": None},
    ]
    assert run.rows("orders__lines").in_order == [
        {"sku": "tea"}, {"sku": "mug"}, {"sku": "ale"}, {"sku": "tea"}
    ]  # fmt: skip
    assert [row["value"] for row in run.rows("orders__lines__notes")] == ["hot", "sweet", "cold"]
    assert [row["event"] for row in run.rows("log")] == ["b", "a", "c"]
    lines = run.dataset["orders__lines"]
    assert table_rows(lines).in_order == run.rows("orders__lines").in_order
    assert table_rows(lines.order_by("sku", "desc"))[0] == {"sku": "tea"}
    assert table_rows(run.dataset("SELECT id FROM orders")).in_order == [
        {"id": 1}, {"id": 2}, {"id": 3}
    ]  # fmt: skip


def test_rows_are_asked_for_by_column_condition_and_order(run: PipelineRun) -> None:
    assert run.rows("orders", "id", "buyer__name") == [(1, "Ada"), (2, "Bo"), (3, None)]
    assert run.rows("log", "extra", where="event = 'a'") == [(["a"],)]
    assert run.rows("orders", columns=["id"], where="id > 1") == [{"id": 2}, {"id": 3}]
    assert run.rows("orders", "id", where=("id", "in", [1, 3])) == [(1,), (3,)]
    assert run.rows("orders", "id", where=("id", "eq", 0)) == []
    assert run.rows("log", "event", order_by="event").in_order == [("a",), ("b",), ("c",)]
    assert run.rows("orders", "id", order_by=("id", "desc")).in_order == [(3,), (2,), (1,)]
    by_two = run.rows("orders", "id", order_by=[("buyer__name", "desc"), "id"])
    assert by_two.in_order == [(2,), (1,), (3,)]
    kept = run.rows("orders", dlt_ids=True)
    assert {"id", "buyer__name", "_dlt_id", "_dlt_load_id"} == set(kept[0])
    assert run.rows("orders", "_dlt_id") == [(row["_dlt_id"],) for row in kept]


def test_nested_rows_come_back_as_the_source_yielded_them(run: PipelineRun) -> None:
    expected = [
        {**{k: v for k, v in row.items() if k != "buyer"}, "buyer__name": row["buyer"]["name"]}
        for row in ORDERS
    ]

    assert run.rows("orders", nested=True) == expected
    assert run.rows("orders", "id", "tags", nested=True, where="id = 2") == [(2, [1, "big"])]
    assert run.rows("orders__lines", "sku", "notes", nested=True)[0] == ("tea", ["hot", "sweet"])
    assert run.rows("returns", nested=True) == []
    line = run.rows("orders", nested=True, dlt_ids=True)[1]["lines"][1]
    assert {"sku", "notes", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx"} <= set(line)


def test_a_known_table_without_rows_has_none_and_an_unknown_one_is_told(run: PipelineRun) -> None:
    assert run.rows("returns") == []
    assert run.rows("returns", "id") == []
    for ask in (run.rows, run.columns):
        with pytest.raises(ValueError, match="no table `order`") as told:
            ask("order")
        assert "Did you mean `orders`?" in str(told.value)
        assert "_dlt_version" not in str(told.value)
    asked: list[dict[str, Any]] = [
        {"columns": ["idd"]}, {"order_by": "idd"}, {"where": ("idd", "eq", 1)}
    ]  # fmt: skip
    for arguments in asked:
        with pytest.raises(ValueError, match=r"`orders` has no column `idd`.*mean `id`"):
            run.rows("orders", **arguments)
    with pytest.raises(ValueError, match=r"`returns` has no column `idd`.*mean `id`"):
        run.rows("returns", "idd")
    with pytest.raises(KeyError, match=r"Did you mean `orders`?"):
        run.row_counts["order"]
    assert run.row_counts.get("order") is None
    assert {**run.row_counts} == run.row_counts
    with pytest.raises(TypeError, match="columns="):
        run.rows("orders", "id", columns=["id"])
    with pytest.raises(ValueError, match="order_by="):
        run.rows("orders", order_by=("id", "up"))
    with pytest.raises(ValueError, match="no history"):
        run.rows("orders", current=True)


def test_sql_is_the_destinations_own(run: PipelineRun) -> None:
    assert run.sql("SELECT id FROM orders WHERE id < 3") == [{"id": 2}, {"id": 1}]
    assert run.sql("SELECT id FROM orders ORDER BY id DESC").in_order == [
        {"id": 3}, {"id": 2}, {"id": 1}
    ]  # fmt: skip
    assert run.sql("SELECT 1 AS one, NULL AS nothing") == [{"one": 1, "nothing": None}]
    with pytest.raises(ValueError, match="several columns `id`"):
        run.sql("SELECT id, id FROM orders")
    if run.pipeline.destination.destination_name == "filesystem":
        return
    assert run.sql("SELECT count(*) AS n FROM information_schema.tables")[0]["n"] > 3
    with run.pipeline.sql_client() as client:
        name = client.make_qualified_table_name("daily")
        client.execute_sql(f"DROP VIEW IF EXISTS {name}")
        orders = client.make_qualified_table_name("log")
        client.execute_sql(f"CREATE VIEW {name} AS SELECT event, extra, _dlt_id FROM {orders}")
    assert run.rows("daily") == [{"event": e, "extra": [e]} for e in "abc"]
    assert run.rows("daily", "event", where="event > 'a'") == [("b",), ("c",)]
    with pytest.raises(ValueError, match=r"`daily` has no column `evnt`.*mean `event`"):
        run.rows("daily", "evnt")
    with run.pipeline.sql_client() as client:
        client.execute_sql(f"DROP VIEW {name}")


def test_columns_have_their_types(run: PipelineRun) -> None:
    assert run.columns("orders") == {"id": "bigint", "buyer__name": "text"}
    assert run.columns("log") == {"event": "text", "at": "text", "extra": "json"}
    assert run.columns("orders__lines") == {"sku": "text"}
    assert run.columns("returns") == {"id": "bigint"}


def test_the_state_and_the_cursors_of_a_resource(run: PipelineRun) -> None:
    assert run.cursors == {"log.at": "2026-01-09"}
    assert run.cursor_starts("log") == {"at": "2026-01-01"}
    state = run.state("log")
    assert state["seen"] == 3
    state["seen"] = 4
    assert run.state("log")["seen"] == 3
    assert run.state("orders") == {}
    with pytest.raises(ValueError, match=r"no resource `logs`.*mean `log`"):
        run.state("logs")
    with pytest.raises(ValueError, match="no incremental cursor"):
        run.cursor_starts("orders")


def test_what_is_unsound_in_a_dataset_is_told(run: PipelineRun) -> None:
    assert run.duplicates() == {}
    assert run.unfinished_loads == {}
    if run.pipeline.destination.destination_name == "filesystem":
        return
    with run.pipeline.sql_client() as client:
        log, loads, spare = map(
            client.make_qualified_table_name, ("log", "_dlt_loads", "_dlt_spare")
        )
        if run.pipeline.destination.destination_name == "postgres":
            client.execute_sql(f"ALTER TABLE {log} DROP CONSTRAINT log__dlt_id_key")
        client.execute_sql(f"CREATE TABLE {spare} AS SELECT * FROM {log} WHERE event = 'a'")
        client.execute_sql(f"INSERT INTO {log} SELECT * FROM {spare}")
        try:
            (twice,) = run.duplicates().items()
            assert twice[0] == "log"
            assert [row["event"] for row in twice[1]] == ["a", "a"]
            assert twice[1][0]["_dlt_id"] == twice[1][1]["_dlt_id"]
            client.execute_sql(f"UPDATE {loads} SET status = 1")
            (load_id,) = {row["_dlt_load_id"] for row in twice[1]}
            assert run.unfinished_loads == {"orders": [load_id], "log": [load_id]}
        finally:
            client.execute_sql(f"UPDATE {loads} SET status = 0")
            client.execute_sql(f"DELETE FROM {log} WHERE event = 'a'")
            # other tests read it, before or after this one
            client.execute_sql(f"INSERT INTO {log} SELECT * FROM {spare}")
            client.execute_sql(f"DROP TABLE {spare}")


def test_a_second_run_tells_where_its_cursors_started(dlt_run: DltRun) -> None:
    @dlt.resource
    def comments(at: Any = dlt.sources.incremental("at", initial_value=1)) -> Any:
        yield [{"at": 1}, {"at": 5}]

    first = dlt_run(comments)
    assert first.cursor_starts("comments") == {"at": 1}
    # all rows are there already: dlt's state still has the start of the first run
    second = first.next()
    assert second.row_counts == {}
    assert second.cursor_starts("comments") == {"at": 5}
    third = second.next(given={"comments": [{"at": 9}]})
    assert third.cursor_starts("comments") == {"at": 5}
    assert third.cursors == {"comments.at": 9}
    with pytest.raises(ValueError, match="has run again since"):
        second.cursor_starts("comments")
    with pytest.raises(ValueError, match="did not extract"):
        third.next(data=[{"id": 1}], table_name="others").cursor_starts("comments")


def test_a_resource_that_has_yielded_nothing_yet_has_no_rows(dlt_run: DltRun) -> None:
    run = dlt_run(shop, given={"orders": [], "log": []})

    assert run.rows("orders") == run.rows("orders", "id", nested=True) == []
    assert run.state("orders") == {}
    with pytest.raises(ValueError, match=r"no table `order`"):
        run.rows("order")
    second = run.next(given={"orders": [{"id": 1, "lines": [{"sku": "tea"}]}]})
    assert second.rows("orders", "lines", nested=True, where="id = 7") == []
    with pytest.raises(ValueError, match=r"no column `line`.*mean `lines`"):
        second.rows("orders", "line", nested=True, where="id = 7")


@pytest.mark.parametrize("target", ["duckdb", "filesystem"])
def test_a_table_that_only_the_schema_has_has_no_rows(dlt_run: DltRun, target: str) -> None:
    schema = dlt.Schema("shop")
    columns: Any = [{"name": "id", "data_type": "bigint"}]
    schema.update_table(new_table("planned", columns=columns))

    run = dlt_run([{"id": 1}], table_name="orders", schema=schema, destination=target)

    assert run.rows("planned") == run.rows("planned", "id", where="id > 1") == []
    assert run.columns("planned") == {"id": "bigint"}


def test_rows_are_asked_for_by_the_values_of_columns(dlt_run: DltRun) -> None:
    rows = [{"id": 1, "note": None, "n": 1}, {"id": 2, "note": "x", "n": 1}]
    run = dlt_run(rows, table_name="orders")
    run.sql("CREATE VIEW daily AS SELECT id, note, n FROM orders")

    for table in ("orders", "daily"):
        assert run.rows(table, "id", where={"n": 1, "note": "x"}) == [(2,)]
        # as Python has it, not as SQL does
        assert run.rows(table, "id", where={"note": None}) == [(1,)]
        with pytest.raises(ValueError, match=r"no column `notes`.*mean `note`"):
            run.rows(table, where={"notes": 1})
    assert run.rows("orders", "id", where=("note", "eq", None)) == [(1,)]
    assert run.rows("orders", "id", where=("note", "ne", None)) == [(2,)]
    assert run.rows("orders", "id", where=sqlglot.exp.column("id") > 1) == [(2,)]
    with pytest.raises(TypeError, match="null is only compared by eq and ne"):
        run.rows("orders", where=("note", "gt", None))
    with pytest.raises(TypeError, match="is no column, operator and value"):
        run.rows("orders", where=("note", "eq"))
    with pytest.raises(TypeError, match="compares JSON and binary"):
        run.rows("orders", where=("note", "eq", b"x"))
    for named in ({"columns": "id"}, {"columns": [1]}):
        with pytest.raises(TypeError, match="columns are named"):
            run.rows("orders", **named)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="columns are named"):
        run.rows("orders", ["id"])  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["duckdb", "filesystem", "sqlite"])
def test_values_of_any_type_are_found(dlt_run: DltRun, target: str, tmp_path: Path) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc)
    values: dict[str, Any] = {
        "text": "it's",
        "day": moment.date(),
        "moment": moment,
        "time": moment.time(),
        "price": Decimal("1.5"),
        "flag": True,
        "bytes": b"\x00x",
        "json": {"a": [1]},
    }
    place: Any = target
    if target == "sqlite":
        place = dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path / 'it.sqlite'}")
    rows = [{"id": 1, **values}, {"id": 2}]
    hints: Any = {"json": {"data_type": "json"}}
    run = dlt_run(rows, table_name="orders", columns=hints, destination=place)

    for name, value in values.items():
        assert run.rows("orders", "id", where={name: value}) == [(1,)], name
    assert run.rows("orders", "id", where={**values, "id": 1}) == [(1,)]
    assert run.rows("orders", "id", where={**values, "json": {"a": [2]}}) == []


def test_an_empty_view_knows_its_columns(dlt_run: DltRun) -> None:
    run = dlt_run([{"id": 1}], table_name="orders")
    run.sql("CREATE VIEW daily AS SELECT id FROM orders WHERE id > 1")

    assert run.rows("daily", "id") == []
    with pytest.raises(ValueError, match=r"`daily` has no column `ids`.*mean `id`"):
        run.rows("daily", "ids")


def test_sqlite_tells_the_same_through_sqlalchemy(dlt_run: DltRun, tmp_path: Path) -> None:
    destination = dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path / 'it.sqlite'}")
    run = dlt_run([{"id": 2, "tags": ["x"]}, {"id": 1}], table_name="t", destination=destination)

    assert run.rows("t", nested=True).in_order == [{"id": 1, "tags": []}, {"id": 2, "tags": ["x"]}]
    assert run.sql("SELECT count(*) AS n FROM t") == [{"n": 2}]
    # the dataset is an attached database
    assert run.sql(f"CREATE VIEW {run.dataset.dataset_name}.daily AS SELECT id FROM t") == []
    assert run.rows("daily", "id", where="id > 1") == [(2,)]
    assert run.duplicates() == run.unfinished_loads == {}
    with pytest.raises(ValueError, match="no table `u`"):
        run.rows("u")


def test_resources_of_one_name_are_told_by_their_source(dlt_run: DltRun) -> None:
    def source_of(last: int) -> Any:
        @dlt.resource
        def orders(at: Any = dlt.sources.incremental("at", initial_value=0)) -> Any:
            dlt.current.resource_state()["last"] = last
            yield [{"at": last}]

        return orders

    first = dlt_run(dlt.source(source_of, name="east")(1))
    assert first.cursors == {"orders.at": 1}
    second = first.next(data=dlt.source(source_of, name="west")(2))

    assert second.cursors == {"east.orders.at": 1, "west.orders.at": 2}
    assert second.state("west.orders")["last"] == 2
    with pytest.raises(ValueError, match=r"no resource `orders`. Known: east.orders, west.orders"):
        second.state("orders")
    assert second.cursor_starts("west.orders") == {"at": 0}


def test_rows_of_two_resources_and_loads_have_one_order(dlt_run: DltRun) -> None:
    def events(*names: str) -> Any:
        return dlt.resource([{"name": name} for name in names], name=names[0], table_name="events")

    first = dlt_run([events("d", "c"), events("b", "a")], pipeline_name="events")
    second = first.next(data=[events("z", "y")])

    # dlt asks resources in turns
    assert second.rows("events", "name").in_order == [(name,) for name in "dbcazy"]


@pytest.mark.parametrize("active", [None, "9999-12-31"])
def test_scd2_tables_tell_what_is_current(dlt_run: DltRun, active: str | None) -> None:
    strategy = {"disposition": "merge", "strategy": "scd2", "active_record_timestamp": active}

    @dlt.resource(write_disposition=strategy)  # type: ignore[call-overload]
    def shops() -> Any:
        yield [{"id": 1, "name": "Tea"}, {"id": 2, "name": "Mugs"}]

    first = dlt_run(shops)
    second = first.next(given={"shops": [{"id": 1, "name": "Teas"}, {"id": 2, "name": "Mugs"}]})
    third = second.next(given={"shops": [{"id": 1, "name": "Tea"}, {"id": 2, "name": "Mugs"}]})

    assert third.rows("shops", "id", "name", current=True) == [(1, "Tea"), (2, "Mugs")]
    assert third.rows("shops", "id", "name") == [(1, "Tea"), (1, "Tea"), (1, "Teas"), (2, "Mugs")]
    # the first "Tea" has come back, and has its old id
    assert third.duplicates() == {}


def test_a_table_that_was_dropped_is_no_table_without_rows(dlt_run: DltRun) -> None:
    run = dlt_run([{"id": 1}], table_name="orders")
    with run.pipeline.sql_client() as client:
        client.execute_sql("DROP TABLE orders")

    with pytest.raises(Exception, match="orders"):
        run.rows("orders")


def test_a_run_that_was_loaded_once_tells_the_same(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @dlt.resource(primary_key="id")
        def orders(at=dlt.sources.incremental("at", initial_value=0)):
            yield [{"id": 2, "at": 3, "lines": [1]}, {"id": 1, "at": 2}]

        @pytest.mark.dlt_load(source=orders, pipeline_name="shop")
        @pytest.mark.parametrize("n", [1, 2])
        def test_it(dlt_loaded, n):
            rows = [{"id": 2, "at": 3, "lines": [1]}, {"id": 1, "at": 2, "lines": []}]
            assert dlt_loaded.rows("orders", nested=True) == rows
            assert dlt_loaded.rows("orders", "id").in_order == [(1,), (2,)]
            assert dlt_loaded.sql("select count(*) as n from orders") == [{"n": 2}]
            assert dlt_loaded.columns("orders") == {"id": "bigint", "at": "bigint"}
            assert dlt_loaded.cursors == {"orders.at": 3}
            assert dlt_loaded.cursor_starts("orders") == {"at": 0}
            assert dlt_loaded.duplicates() == dlt_loaded.unfinished_loads == {}
            with pytest.raises(KeyError, match="Did you mean `orders`"):
                dlt_loaded.row_counts["order"]
            later = dlt_loaded.next(given={"orders": [{"id": 3, "at": 9}]})
            assert later.cursor_starts("orders") == {"at": 3}
            assert later.rows("orders", "id") == [(3,), (1,), (2,)]
        """
    )

    result.assert_outcomes(passed=2)


def test_rows_are_there_also_where_other_code_has_taken_types_out_of_the_schema(
    dlt_run: DltRun,
) -> None:
    run = dlt_run([{"id": 2}, {"id": 1}], table_name="orders")
    # dagster-dlt 0.29 does, when it tells of the columns
    for column in run.pipeline.default_schema.tables["orders"]["columns"].values():
        column.pop("data_type")

    assert run.rows("orders") == [{"id": 1}, {"id": 2}]
    assert run.rows("orders", "id") == [(1,), (2,)]
    with pytest.raises(ValueError, match="other code, such as Dagster, has taken the types"):
        run.rows("orders", nested=True)
