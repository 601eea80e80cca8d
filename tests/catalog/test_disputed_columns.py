"""A dataset whose schemas disagree about a column: all else is read, and the dispute is named."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.schema.exceptions import SchemaException
from dlt.common.schema.utils import new_table

from dlthub_project import DisputedColumn, WritableDataset, current
from dlthub_project.catalog.schemas import settle

MANIFEST = """
destinations:
  warehouse: {type: duckdb}
  lake: {type: filesystem, bucket_url: lake}
datasets:
  shop: {destination: [warehouse, lake]}
pipelines:
  load_web: {destination: warehouse, dataset_name: shop}
  load_till: {destination: warehouse, dataset_name: shop}
"""
WHAT = re.escape(
    "Column `code` of table `orders` in dataset `shop` is `bigint` in schema `load_web` and `text` "
    "in schema `load_till`."
)


def run(pipeline: str, rows: list[dict[str, Any]], table: str, **arguments: Any) -> None:
    current.runner().run_pipeline(pipeline, data=rows, table_name=table, **arguments)


@pytest.fixture
def dataset(write_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> WritableDataset:
    monkeypatch.chdir(write_project(MANIFEST))
    run("load_web", [{"id": 1, "code": 5}], "orders")
    run("load_web", [{"id": 1, "code": 7}], "visits")
    # text that the column of the first one takes
    run("load_till", [{"id": 2, "code": "6"}], "orders")
    run("load_till", [{"id": 3, "lines": [{"code": "x"}]}], "receipts")
    return current.catalog()["shop"]


@pytest.mark.slow
def test_other_tables_are_read(dataset: WritableDataset) -> None:
    assert dataset["visits"].select("id", "code").fetchall() == [(1, 7)]
    assert dataset["receipts"].select("id").fetchall() == [(3,)]
    assert dataset["receipts__lines"].select("code").fetchall() == [("x",)]
    joined = "SELECT v.code FROM visits v JOIN orders o ON v.id = o.id"
    assert dataset(joined).fetchall() == [(7,)]
    counts = dict(dataset.row_counts().fetchall())
    assert counts == {"orders": 2, "visits": 1, "receipts": 1, "receipts__lines": 1}


def test_other_columns_of_the_table_are_read(dataset: WritableDataset) -> None:
    assert sorted(dataset["orders"].select("id").fetchall()) == [(1,), (2,)]
    assert dataset("SELECT count(*) FROM orders").fetchall() == [(2,)]


READS: list[Callable[[WritableDataset], Any]] = [
    lambda shop: shop["orders"].fetchall(),
    lambda shop: shop.orders.df(),
    lambda shop: shop.table("orders").arrow(),
    lambda shop: list(shop["orders"].iter_fetch(10)),
    lambda shop: shop["orders"].select("code").fetchall(),
    lambda shop: shop("SELECT o.code FROM orders AS o").fetchall(),
    lambda shop: shop("SELECT id FROM orders WHERE code = 5").fetchall(),
    lambda shop: shop("WITH o AS (SELECT * FROM orders) SELECT id FROM o").fetchall(),
    lambda shop: shop("SELECT * FROM orders", _execute_raw_query=True).fetchall(),
    lambda shop: copy.copy(shop)["orders"].fetchall(),
    lambda shop: pickle.loads(pickle.dumps(shop))["orders"].fetchall(),
]


def test_the_dispute_is_named_when_it_is_read(dataset: WritableDataset) -> None:
    # one after the other: each load of the fixture costs more than all of them
    for read in READS:
        with pytest.raises(DisputedColumn, match=WHAT) as caught:
            read(dataset)

        assert "data_type" in caught.value.instruction
        assert caught.value.instruction.count("orders") >= 1


def test_a_save_beside_it_leaves_the_dispute(dataset: WritableDataset) -> None:
    dataset.save([{"id": 9}], "saved")

    assert dataset["saved"].select("id").fetchall() == [(9,)]
    with pytest.raises(DisputedColumn, match=WHAT):
        dataset["orders"].fetchall()


def test_files_are_read_by_the_schema_that_was_stored_last(
    write_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(MANIFEST))
    run("load_web", [{"id": 1, "code": 5}], "orders", destination="lake")
    run("load_till", [{"id": 2, "code": "6"}], "orders", destination="lake")
    run("load_till", [{"id": 3}], "receipts", destination="lake")
    dataset = current.catalog().dataset("shop", "lake")

    assert dataset["receipts"].select("id").fetchall() == [(3,)]
    # dlt keeps one schema for files, the last one: nobody contradicts it
    assert sorted(dataset["orders"].select("id").fetchall()) == [(1,), (2,)]


def test_a_table_that_is_nested_in_one_schema_alone_does_not_hide_the_others() -> None:
    schemas = [dlt.Schema("one"), dlt.Schema("two")]
    schemas[0].update_table(new_table("orders", columns=[{"name": "id", "data_type": "bigint"}]))
    schemas[0].update_table(new_table("lines", parent_table_name="orders"))
    schemas[1].update_table(new_table("lines"))
    schemas[1].update_table(new_table("orders", columns=[{"name": "id", "data_type": "text"}]))
    with pytest.raises(SchemaException):
        schemas[0].unify_schemas(schemas[1:])

    settled, disputes = settle(schemas)

    assert {*settled[0].unify_schemas(settled[1:]).data_table_names(include_incomplete=True)} >= {
        "orders",
        "lines",
    }
    assert [(d.table, d.column, d.first_type, d.other_type) for d in disputes] == [
        ("orders", "id", "bigint", "text")
    ]
    assert schemas[1].tables["orders"]["columns"]["id"]["data_type"] == "text"
