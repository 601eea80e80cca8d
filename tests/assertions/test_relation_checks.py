"""Assertions about relations: each holds, and each fails with its exact text."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pandas as pd
import pyarrow as pa
import pytest

from pytest_dlthub import (
    DltRun,
    assert_columns,
    assert_foreign_key,
    assert_not_null,
    assert_rows,
    assert_unique,
)

ORDERS = [
    {"id": 1, "customer": 7, "price": Decimal("1.50"), "note": "a", "lines": [{"n": 1}]},
    {"id": 2, "customer": 8, "price": Decimal("2.50"), "note": None, "lines": [{"n": 2}]},
    {"id": 2, "customer": None, "price": Decimal("2.50"), "note": None, "lines": []},
    {"id": 3, "customer": 7, "price": Decimal("3.50"), "note": "c", "lines": [{"n": 1}, {"n": 2}]},
]


@dlt.source(name="shop")
def shop() -> Any:
    hints: Any = {
        "id": {"nullable": False},
        "price": {"data_type": "decimal", "precision": 10, "scale": 2},
    }
    customers = [{"id": 7, "tags": ["x"]}, {"id": 9, "tags": []}]
    return (
        dlt.resource(ORDERS, name="orders", columns=hints),
        dlt.resource([{"id": 7}], name="other"),
        dlt.resource(customers, name="customers", columns={"tags": {"data_type": "json"}}),
    )


DESTINATIONS = (
    "duckdb",
    "files",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
)


@pytest.fixture
def dataset(request: pytest.FixtureRequest, destination: str, tmp_path: Path) -> Iterator[Any]:
    """The shop at a destination, real ones included."""
    if destination == "postgres":
        place = dlt.destinations.postgres(request.getfixturevalue("postgres_url"))
    elif destination == "files":
        place = dlt.destinations.filesystem((tmp_path / "files").as_uri())
    elif destination == "duckdb":
        place = dlt.destinations.duckdb(str(tmp_path / "it.duckdb"))
    else:
        url = f"sqlite:///{tmp_path / 'it.sqlite'}"
        if destination == "mariadb":
            url = request.getfixturevalue("mariadb_url")
        place = dlt.destinations.sqlalchemy(url)
    pipeline = dlt.pipeline(
        "checks",
        destination=place,
        dataset_name=f"checks_{uuid.uuid4().hex[:8]}",
        pipelines_dir=str(tmp_path / "pipelines"),
    )
    pipeline.run(shop())
    yield pipeline.dataset()
    if destination in ("postgres", "mariadb"):
        with pipeline.sql_client() as client:
            client.drop_dataset()


def said(check: Callable[..., None], *arguments: Any, **named: Any) -> list[str]:
    with pytest.raises(AssertionError) as failure:
        check(*arguments, **named)
    return str(failure.value).splitlines()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("destination", DESTINATIONS)
def test_each_assertion_asks_the_destination(dataset: dlt.Dataset) -> None:
    orders, lines = dataset.table("orders"), dataset.table("orders__lines")
    customers = dataset.table("customers")

    assert_unique(orders, "id", "customer")
    assert said(assert_unique, orders, "id") == [
        "orders: 1 value of id is in more than one row",
        "id=2: 2 rows",
    ]
    assert said(assert_unique, orders, "note", "price") == [
        "orders: 1 value of note and price is in more than one row",
        "note=None, price=Decimal('2.50'): 2 rows",
    ]
    assert_not_null(orders, "id", "price")
    assert said(assert_not_null, orders, "id", "note", "customer") == [
        "orders: note is null in 2 of 4 rows",
        "  {'price': Decimal('2.50'), 'id': 2, 'customer': 8, 'note': None}",
        "  {'price': Decimal('2.50'), 'id': 2, 'customer': None, 'note': None}",
        "orders: customer is null in 1 of 4 rows",
        "  {'price': Decimal('2.50'), 'id': 2, 'customer': None, 'note': None}",
    ]
    assert_foreign_key(lines, orders)
    assert_foreign_key(orders.where("id", "ne", 2), customers, "customer", "id")
    assert said(assert_foreign_key, orders, customers, "customer", "id") == [
        "orders.customer → customers.id: 1 row has no parent, of 3",
        "  {'price': Decimal('2.50'), 'id': 2, 'customer': 8, 'note': None}",
    ]
    assert said(assert_foreign_key, lines, orders.where("id", "gt", 1)) == [
        "orders__lines._dlt_parent_id → orders._dlt_id: 1 row has no parent, of 4",
        "  {'n': 1}",
    ]
    some = orders.where("id", "lt", 3)
    assert_rows(orders, orders)
    assert_rows(customers, customers)
    assert said(assert_rows, orders, some) == [
        "orders: 1 row too many",
        "orders: 1 row too many: id=3",
    ]
    # rows that are there twice
    assert_rows(some.select("id"), [{"id": 2}, {"id": 1}, {"id": 2}])
    assert said(assert_rows, some.where("id", "eq", 2).select("id"), some.select("id")) == [
        "orders: 1 row missing",
        "orders: 1 row missing: id=1",
    ]
    # a table that is called as a query of ours calls its parents
    assert_foreign_key(dataset.table("other"), customers, "id")
    with dataset as opened:
        assert_unique(opened.table("customers"), "id")


def test_columns_have_types_and_nullability(dlt_run: DltRun) -> None:
    orders = dlt_run(shop()).dataset.table("orders")
    columns = {"id": "bigint", "customer": "bigint", "price": "decimal", "note": "text"}

    assert_columns(orders, columns, nullable={"customer", "price", "note"})
    assert_columns(orders, {"price": "decimal(10, 2)"}, "price", subset=True)
    assert said(assert_columns, orders, {"id": "bigint"}, "idle", subset=True)
    assert said(
        assert_columns,
        orders,
        {"id": "text", "nte": "text", "price": "decimal(5,2)"},
        nullable={"id", "other"},
    ) == [
        "orders: columns are not as expected",
        "orders.id: bigint != text",
        "orders.id: not null != nullable",
        "orders: no column nte; did you mean note?",
        "orders.price: decimal(10,2) != decimal(5,2)",
        "orders.price: nullable != not null",
        "orders: nullable=: other is not expected",
        "orders: column too many: customer (bigint)",
        "orders: column too many: note (text)",
    ]


def test_rows_are_matched_and_may_be_a_part(dlt_run: DltRun) -> None:
    run = dlt_run(shop())
    orders = run.dataset.table("orders").order_by("id")
    own = [{name: row[name] for name in row if name != "lines"} for row in ORDERS]

    assert_rows(orders, own[::-1])
    assert_rows(orders, [{"id": 3, "price": 3.5}, {"id": 2}, {"id": 2}], subset=True)
    assert_rows(
        orders.select("id", "price"),
        [{"id": r["id"], "price": float(r["price"]) + 0.009} for r in ORDERS],
        key="id",
        tolerance=0.01,
    )
    assert_rows(orders, [{"id": 1}, {"id": 3}], subset=True, ordered=True)
    assert_rows(run.rows("customers"), run.dataset.table("customers"))
    assert said(assert_rows, orders, [{**own[0], "note": "b"}, *own[1:3]], key="id") == [
        "orders: 1 row differs, 1 row too many",
        "orders id=1: note 'a' != 'b'",
        "orders: 1 row too many: id=3",
    ]
    assert said(assert_rows, orders, [{"id": 2}, {"id": 2}, {"id": 2}], subset=True) == [
        "orders: 1 row missing",
        "orders: 1 row missing: {'id': 2}",
    ]
    assert said(
        assert_rows,
        orders.select("id", "price"),
        [{"id": 1, "price": 1.6}],
        "id",
        True,
        tolerance=0.01,
    ) == ["orders: 1 row differs", "orders id=1: price Decimal('1.50') != 1.6"]
    assert said(
        assert_rows, orders.select("id"), [{"id": n} for n in (1, 2, 3, 2)], ordered=True
    ) == [
        "orders: the same rows in another order",
        "row 2: {'id': 2} != {'id': 3}",
    ]
    assert said(assert_rows, orders, [{"id": 3}, {"id": 1}], subset=True, ordered=True) == [
        "orders: rows in another order",
        "this row comes too early: {'id': 1}",
    ]
    nan = float("nan")
    assert said(assert_rows, [{"id": 1, "a": nan}], [{"id": 1, "a": 1.0}], tolerance=1) == [
        "1 row differs",
        "id=1: a nan != 1.0",
    ]
    assert said(assert_rows, [{"a": True}], [{"a": 2}], tolerance=1) == [
        "1 row missing, 1 row too many",
        "1 row missing: {'a': 2}",
        "1 row too many: {'a': True}",
    ]


def test_rows_of_two_tables_are_the_same_as_python_has_it(dlt_run: DltRun) -> None:
    json: Any = {"tags": {"data_type": "json"}}
    tables = {
        "one": pa.table({"id": [1], "tags": ['{"a": 1, "b": 2}'], "n": [1.0]}),
        "json": pa.table({"id": [1], "tags": ['{"b": 2, "a": 1}'], "n": [1.0]}),
        "text": pa.table({"id": ["1"], "tags": ['{"a": 1, "b": 2}'], "n": [1.0]}),
        "nan": pa.table({"id": [1], "tags": ['{"a": 1, "b": 2}'], "n": [math.nan]}),
    }
    run = dlt_run([dlt.resource(t, name=name, columns=json) for name, t in tables.items()])
    one, other, text, nan = map(run.dataset.table, tables)

    assert_rows(one, other)
    assert said(assert_rows, one, text)[1] == "one n=1.0: id 1 (int) != '1' (str)"
    assert said(assert_rows, nan, nan)[1] == "nan id=1: n nan != nan"
    assert said(assert_rows, nan, one)[1] == "nan id=1: n nan != 1.0"
    assert said(assert_rows, run.rows("one", "id", "n"), [(1, 2.0)]) == [
        "one: 1 row differs",
        "one id=1: n 1.0 != 2.0",
    ]


def test_rows_may_be_expected_as_frames(dlt_run: DltRun) -> None:
    run = dlt_run([{"id": 1, "n": 1.5}, {"id": 2, "n": None}], table_name="orders")
    frame = pd.DataFrame({"id": [2, 1], "n": [None, 1.5]}, index=[7, 8])
    arrow = pa.table({"id": [2, 1], "n": [None, 2.5]})

    assert_rows(run.dataset.table("orders"), frame)
    assert_rows(run.rows("orders"), frame)
    assert said(assert_rows, run.rows("orders"), arrow)[1] == "orders id=1: n 1.5 != 2.5"
    for other in (frame, arrow):
        with pytest.raises(TypeError, match=r"use assert_rows\(rows, frame\)"):
            assert run.rows("orders") != other


def test_what_is_no_relation_is_an_error(dlt_run: DltRun) -> None:
    run = dlt_run([{"id": 1}], table_name="orders")
    orders = run.dataset.table("orders")

    checks: list[Callable[[Any], None]] = [
        lambda given: assert_columns(given, {"id": "bigint"}),
        lambda given: assert_unique(given, "id"),
        lambda given: assert_not_null(given, "id"),
        lambda given: assert_foreign_key(given, orders, "id"),
        lambda given: assert_foreign_key(orders, given, "id"),
        lambda given: assert_rows(given, [{"id": 1}]),
    ]
    for check in checks:
        for given in (run, "orders", run.dataset, None):
            with pytest.raises(TypeError, match=f"{type(given).__name__} is no relation"):
                check(given)


def test_what_would_check_nothing_is_an_error(dlt_run: DltRun) -> None:
    dataset = dlt_run(shop()).dataset
    orders = dataset.table("orders")
    none = orders.where("id", "gt", 100)

    nothing = ["orders: no rows, so that nothing is checked"]
    assert said(assert_unique, none, "id") == nothing
    assert said(assert_not_null, none, "id") == nothing
    assert said(assert_foreign_key, none, orders, "customer", "id") == [
        "orders.customer → orders.id: no row refers to a parent, so that nothing is checked"
    ]
    assert said(assert_not_null, orders, "never_filled") == ["orders: no column never_filled"]
    with pytest.raises(TypeError, match="assert_unique: name the columns"):
        assert_unique(orders)
    with pytest.raises(ValueError, match="subset=True needs expected rows"):
        assert_rows(orders, [], subset=True)
    with pytest.raises(ValueError, match="rows that are there have no 'it'"):
        assert_rows(orders, [{"it": 1}], key="it")
    with pytest.raises(ValueError, match="orders is no nested table; name column="):
        assert_foreign_key(orders, orders)
    with pytest.raises(ValueError, match="parent_column=: customers: no column customer"):
        assert_foreign_key(orders, dataset.table("customers"), "customer")


def test_parents_may_be_at_another_destination(dlt_run: DltRun) -> None:
    orders = dlt_run(shop()).dataset.table("orders")
    elsewhere = dlt_run([{"id": 7}], table_name="people", pipeline_name="elsewhere")

    assert said(
        assert_foreign_key, orders, elsewhere.dataset.table("people"), "customer", "id"
    ) == [
        "orders.customer → people.id: 1 row has no parent, of 3",
        "  {'price': Decimal('2.50'), 'id': 2, 'customer': 8, 'note': None}",
    ]
