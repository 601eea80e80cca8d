"""`dlt dataset`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]

MANIFEST = """
    sources:
      orders: {type: shop.orders}
    destinations:
      warehouse: {type: duckdb}
      lake: {type: filesystem, bucket_url: lake}
      other: {type: shop.no_destination}
    datasets:
      shop_data: {destination: [warehouse, lake]}
      never: {destination: [other]}
    pipelines:
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
      load_lake: {source: orders, destination: lake, dataset_name: shop_data}
      load_more: {source: orders, destination: warehouse, dataset_name: more}
"""
SOURCE = """
    import datetime

    import dlt


    @dlt.source
    def orders():
        @dlt.resource(primary_key="id", write_disposition="append")
        def items(at=dlt.sources.incremental("at")):
            yield [{"id": i, "at": i, "on": datetime.date(2026, 1, i)} for i in (1, 2, 3)]

        @dlt.resource(columns={"later": {"data_type": "text"}, "some_day": {"unique": True}})
        def customers():
            yield {"name": "Ada", "emails": [{"address": "ada@example.invalid"}]}

        return items, customers
"""


@pytest.fixture
def shop(write_project: WriteProject) -> Path:
    return write_project(MANIFEST, {"sources/shop.py": SOURCE})


def test_list_shows_where_datasets_are_and_who_loads_them_without_the_projects_code(
    shop: Path, dlt_main: DltProgram
) -> None:
    (shop / "sources" / "shop.py").write_text("raise SystemExit('imported')\n")
    listed = dlt_main("dataset", "list")

    assert listed.stdout.splitlines() == [
        "dataset    destination  declared  loaded by",
        "shop_data  warehouse    yes       load_orders, load_lake",
        "never      other        yes       -",
        "more       warehouse    no        load_more",
    ]
    assert json.loads(dlt_main("dataset", "list", "--format", "json").stdout)[2] == {
        "name": "more",
        "destination": "warehouse",
        "declared": False,
        "pipelines": ["load_more"],
    }


def test_a_dataset_is_described_counted_read_and_dropped(shop: Path, dlt_main: DltProgram) -> None:
    assert dlt_main("pipeline", "load_orders", "run").returncode == 0

    info = json.loads(dlt_main("dataset", "shop_data", "info", "--format", "json").stdout)
    assert info.pop("place") == str(shop / "_data" / "dev" / "local" / "warehouse.duckdb")
    assert info.pop("tables")[-1] == {
        "name": "items",
        "columns": [
            {"name": "id", "data_type": "bigint", "nullable": False, "primary_key": True},
            {"name": "at", "data_type": "bigint", "nullable": True, "primary_key": False},
            {"name": "on", "data_type": "date", "nullable": True, "primary_key": False},
            {"name": "_dlt_load_id", "data_type": "text", "nullable": False, "primary_key": False},
            {"name": "_dlt_id", "data_type": "text", "nullable": False, "primary_key": False},
        ],
    }
    assert info == {"name": "shop_data", "destination": "warehouse", "schemas": ["orders"]}
    assert "items              id bigint key, at bigint, on date" in (
        dlt_main("dataset", "shop_data", "info").stdout
    )

    # options may stand anywhere
    counts = dlt_main("dataset", "shop_data", "--profile", "dev", "row-counts", "--schema=orders")
    assert counts.stdout.splitlines() == [
        "shop_data@warehouse",
        "table              rows",
        "customers             1",
        "customers__emails     1",
        "items                 3",
    ]

    head = dlt_main("dataset", "shop_data", "head", "items", "--limit", "1", "--format", "json")
    assert json.loads(head.stdout) == [{"id": 1, "at": 1, "on": "2026-01-01"}]
    own = dlt_main("dataset", "shop_data", "head", "_dlt_loads", "--format", "json")
    assert json.loads(own.stdout)[0]["schema_name"] == "orders"
    everything = dlt_main("dataset", "shop_data", "head", "customers", "--all-columns")
    assert everything.stdout.split()[:4] == ["later", "name", "_dlt_load_id", "_dlt_id"]

    for done, status, told in [
        (dlt_main("dataset", "shop_data", "drop"), 4, "Add --yes to agree"),
        (dlt_main("dataset", "shop_data", "drop", answers="n\n"), 4, "Nothing was removed."),
        (dlt_main("dataset", "shop_data", "head", "item"), 1, "Did you mean `items`?"),
        (dlt_main("dataset", "shop_data", "head", "items", "--schema", "order"), 1, "`orders`?"),
        (dlt_main("dataset", "shop_dat", "info"), 1, "Did you mean `shop_data`?"),
        (dlt_main("dataset", "info"), 1, "Name the dataset: dlt dataset NAME info. Known: more"),
        (dlt_main("dataset", "shop_data", "info", "--destination", "other"), 1, "Allowed: ware"),
        (dlt_main("dataset", "shop_data", "info", "--destination", "lake"), 1, "load_lake run"),
        (dlt_main("dataset", "shop_data", "info", "--profile", "tests"), 1, "does not exist"),
        (dlt_main("dataset", "more", "drop", "--yes"), 1, "does not exist"),
        (dlt_main("dataset", "never", "row-counts"), 1, "shop.no_destination"),
    ]:
        assert (done.returncode, done.stdout) == (status, ""), done
        assert told in done.stderr
        assert "Traceback" not in done.stderr

    dropped = dlt_main("dataset", "shop_data", "drop", answers="y\n")
    assert dropped.stdout == "Dropped dataset `shop_data` on destination `warehouse`.\n"
    assert "with its rows: customers (1), customers__emails (1), items (3)? [y/N] " in (
        dropped.stderr
    )
    assert dlt_main("dataset", "shop_data", "info").returncode == 1
    # the cursor is gone with the data
    again = dlt_main("pipeline", "load_orders", "run", "--format", "json")
    assert json.loads(again.stdout)["rows"]["items"] == 3


def test_a_dataset_of_files_is_read_and_dropped_too(shop: Path, dlt_main: DltProgram) -> None:
    assert dlt_main("pipeline", "load_lake", "run").returncode == 0
    lake = ("--destination", "lake", "--format", "json")

    counts = dlt_main("dataset", "shop_data", "row-counts", *lake)
    assert json.loads(counts.stdout) == {"customers": 1, "customers__emails": 1, "items": 3}
    dropped = dlt_main("-y", "dataset", "shop_data", "drop", *lake)
    assert json.loads(dropped.stdout)["dropped"]["items"] == 3
    assert not (shop / "_data" / "dev" / "local" / "lake" / "shop_data").exists()


def test_outside_of_a_project_the_error_says_how_to_make_one(
    tmp_path: Path, dlt_main: DltProgram
) -> None:
    for words in (
        ("dataset", "list"),
        ("dataset", "shop_data", "drop", "--yes"),
        ("transformation", "list"),
        ("cache", "x", "info"),
        ("pipeline", "list"),
        ("pipeline", "x", "run"),
    ):
        done = dlt_main(*words)
        assert (done.returncode, done.stdout) == (3, "")
        assert f"there is no dlt.yml in {tmp_path}" in done.stderr
