"""Twenty tests that fail."""

from __future__ import annotations

import shop
from pytest_dlthub import assert_foreign_key, assert_not_null, assert_unique


def test_wrong_row_narrow(dlt_run):
    run = dlt_run(shop.orders())
    assert run.rows("orders") == [*shop.ORDERS[:2], {"id": 3, "total": 31, "customer": "c3"}]


def test_wrong_row_wide(dlt_run):
    run = dlt_run(shop.orders(shop.WIDE))
    assert run.rows("orders") == [*shop.WIDE[:2], {**shop.WIDE[2], "c39": 118}]


def test_row_missing(dlt_run):
    run = dlt_run(shop.orders())
    assert run.rows("orders") == [*shop.ORDERS, {"id": 8, "total": 80, "customer": "c8"}]


def test_row_too_many(dlt_run):
    run = dlt_run(shop.orders())
    assert run.rows("orders") == shop.ORDERS[:2]


def test_type(dlt_run):
    run = dlt_run(shop.orders([{"id": 3, "price": "10"}]))
    assert run.rows("orders") == [{"id": 3, "price": 10}]


def test_duplicate_key(dlt_run):
    run = dlt_run([{"id": 1}, {"id": 1}], table_name="orders")
    assert_unique(run.dataset.orders, "id")


def test_null(dlt_run):
    run = dlt_run([{"id": 1, "email": "a"}, {"id": 2}], table_name="customers")
    assert_not_null(run.dataset.customers, "email")


def test_not_null(dlt_run):
    dlt_run(shop.customers())


def test_failed_job(dlt_run):
    dlt_run(shop.prices())


def test_over_64_bits(dlt_run):
    dlt_run(shop.visits())


def test_contract_on_table(dlt_run):
    dlt_run(shop.invoices("tables", id=1))


def test_contract_on_column(dlt_run):
    run = dlt_run(shop.invoices("columns", id=1))
    run.next(data=shop.invoices("columns", id=2, discount=5))


def test_contract_on_type(dlt_run):
    run = dlt_run(shop.invoices("data_type", id=1))
    run.next(data=shop.invoices("data_type", id="two"))


def test_orphan_child(dlt_run):
    run = dlt_run([shop.orders(), shop.payments()])
    assert_foreign_key(run.dataset.payments, run.dataset.orders, "order_id", "id")


def test_exception_in_a_resource(dlt_run):
    dlt_run(shop.taxes())


def test_missing_secret(dlt_run):
    dlt_run(shop.private())


def test_wrong_table_name(dlt_run):
    run = dlt_run(shop.orders())
    assert run.rows("order") == shop.ORDERS


def test_wrong_count_name(dlt_run):
    run = dlt_run(shop.orders())
    assert run.row_counts["order"] == 3


def test_nothing_loaded(dlt_run):
    run = dlt_run(shop.since())
    assert run.rows("since") == [{"id": 1, "at": 1}]


def test_nothing_ran(dlt_runs):
    shop.main()
    assert dlt_runs.last.row_counts == {"orders": 3}


def test_renamed_key(dlt_run):
    run = dlt_run([{"order_id": 1, "total": 10}], table_name="orders")
    assert run.rows("orders") == [{"id": 1, "total": 10}]
