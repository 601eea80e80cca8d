"""The same without the plugin."""

from __future__ import annotations

import dlt
import pytest

import shop


@pytest.fixture
def pipeline(tmp_path):
    database = dlt.destinations.duckdb(str(tmp_path / "shop.duckdb"))
    return dlt.pipeline("shop", pipelines_dir=str(tmp_path), destination=database)


def rows(pipeline, table):
    with pipeline.sql_client() as client, client.execute_query(f"SELECT * FROM {table}") as cursor:
        names = [column[0] for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [{k: v for k, v in row.items() if not k.startswith("_dlt_")} for row in found]


def test_wrong_row_narrow(pipeline):
    pipeline.run(shop.orders())
    expected = [*shop.ORDERS[:2], {"id": 3, "total": 31, "customer": "c3"}]
    assert rows(pipeline, "orders") == expected


def test_wrong_row_wide(pipeline):
    pipeline.run(shop.orders(shop.WIDE))
    assert rows(pipeline, "orders") == [*shop.WIDE[:2], {**shop.WIDE[2], "c39": 118}]


def test_row_missing(pipeline):
    pipeline.run(shop.orders())
    assert rows(pipeline, "orders") == [*shop.ORDERS, {"id": 8, "total": 80, "customer": "c8"}]


def test_row_too_many(pipeline):
    pipeline.run(shop.orders())
    assert rows(pipeline, "orders") == shop.ORDERS[:2]


def test_type(pipeline):
    pipeline.run(shop.orders([{"id": 3, "price": "10"}]))
    assert rows(pipeline, "orders") == [{"id": 3, "price": 10}]


def test_duplicate_key(pipeline):
    pipeline.run([{"id": 1}, {"id": 1}], table_name="orders")
    keys = [row["id"] for row in rows(pipeline, "orders")]
    assert len(keys) == len(set(keys))


def test_null(pipeline):
    pipeline.run([{"id": 1, "email": "a"}, {"id": 2}], table_name="customers")
    assert all(row["email"] is not None for row in rows(pipeline, "customers"))


def test_not_null(pipeline):
    pipeline.run(shop.customers())


def test_failed_job(pipeline):
    pipeline.run(shop.prices())


def test_over_64_bits(pipeline):
    pipeline.run(shop.visits())


def test_contract_on_table(pipeline):
    pipeline.run(shop.invoices("tables", id=1))


def test_contract_on_column(pipeline):
    pipeline.run(shop.invoices("columns", id=1))
    pipeline.run(shop.invoices("columns", id=2, discount=5))


def test_contract_on_type(pipeline):
    pipeline.run(shop.invoices("data_type", id=1))
    pipeline.run(shop.invoices("data_type", id="two"))


def test_orphan_child(pipeline):
    pipeline.run([shop.orders(), shop.payments()])
    keys = {row["id"] for row in rows(pipeline, "orders")}
    assert {row["order_id"] for row in rows(pipeline, "payments")} <= keys


def test_exception_in_a_resource(pipeline):
    pipeline.run(shop.taxes())


def test_missing_secret(pipeline):
    pipeline.run(shop.private())


def test_wrong_table_name(pipeline):
    pipeline.run(shop.orders())
    assert rows(pipeline, "order_") == shop.ORDERS


def test_wrong_count_name(pipeline):
    pipeline.run(shop.orders())
    assert pipeline.last_trace.last_normalize_info.row_counts["order"] == 3


def test_nothing_loaded(pipeline):
    pipeline.run(shop.since())
    assert rows(pipeline, "since") == [{"id": 1, "at": 1}]


def test_nothing_ran(pipeline):
    shop.main()
    assert pipeline.last_trace.last_normalize_info.row_counts["orders"] == 3


def test_renamed_key(pipeline):
    pipeline.run([{"order_id": 1, "total": 10}], table_name="orders")
    assert rows(pipeline, "orders") == [{"id": 1, "total": 10}]
