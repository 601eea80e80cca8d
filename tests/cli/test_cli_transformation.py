"""`dlt transformation` and `dlt cache`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]

MANIFEST = """
    sources:
      orders: {type: shop.orders}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      shop_data: {destination: [warehouse]}
      reports: {destination: [warehouse]}
    pipelines:
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
    caches:
      orders_cache:
        inputs: [{dataset: shop_data, tables: {items: items}}]
        outputs: [{dataset: reports, tables: {totals: totals}}]
    transformations:
      report: {engine: sql, cache: orders_cache}
      other: {cache: orders_cache}
"""
FILES = {
    "sources/shop.py": """
        import dlt


        @dlt.source
        def orders():
            @dlt.resource
            def items():
                yield [{"id": 1, "price": 10}, {"id": 2, "price": 20}]

            return items
    """,
    "transformations/report/totals.sql": "SELECT sum(price) AS total FROM items",
    "transformations/other.py": "raise SystemExit('imported')",
}


def test_the_steps_of_a_transformation_and_its_cache(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(MANIFEST, FILES)

    def told(*words: str, status: int = 0, answers: str | None = None) -> str:
        done = dlt_main(*words, answers=answers)
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done.stdout if status == 0 else done.stderr

    assert told("transformation", "list").splitlines() == [
        "transformation  engine  cache",
        "report          sql     orders_cache",
        "other           python  orders_cache",
    ]
    assert told("transformation", "other", "list").splitlines()[1:] == [
        "other           python  orders_cache"
    ]
    for word in ("transformation", "cache", "dataset", "pipeline"):
        assert f"There is no {word} `x`. Known: " in told(word, "x", "list", status=1)
    assert json.loads(told("cache", "list", "--format", "json"))[0]["holds"] == []
    assert "Did you mean `report`?" in told("transformation", "reprt", "run", status=1)
    assert "Known: orders_cache." in told("cache", "drop", status=1)
    assert "`dlt pipeline load_orders run --profile dev`" in told(
        "transformation", "report", "verify-inputs", status=1
    )
    assert "not populated" in told("cache", "orders_cache", "flush", status=1)

    told("pipeline", "load_orders", "run")
    assert told("transformation", "report", "verify-inputs") == "All inputs can be read.\n"
    assert told("transformation", "report", "populate").splitlines()[1] == "holds  items"
    assert "has not made `totals`" in told("transformation", "report", "verify-outputs", status=1)
    assert told("transformation", "report", "transform").splitlines()[1] == "holds  items, totals"
    assert "all tables" in told("transformation", "report", "verify-outputs")
    info = json.loads(told("transformation", "report", "info", "--format", "json"))
    assert (info["engine"], info["tables"]) == ("sql", ["totals"])
    assert info["cache"]["outputs"] == ["totals -> reports.totals (append)"]
    flushed = json.loads(told("transformation", "report", "flush", "--format", "json"))
    assert (flushed["rows"], len(flushed["load_ids"]["reports"])) == ({"reports": {"totals": 1}}, 1)
    assert told("dataset", "reports", "head", "totals").split() == ["total", "30"]
    nothing = "report: nothing to do, no load is new\n"
    assert told("transformation", "report", "run") == nothing

    told("dataset", "reports", "drop", "--yes")
    assert told("cache", "orders_cache", "populate").splitlines()[1] == "holds  items"
    assert "with items?" in told("cache", "orders_cache", "drop", status=4)
    assert told("cache", "orders_cache", "info").startswith("cache orders_cache: ")
    dropped = told("cache", "orders_cache", "drop", answers="yes\n")
    assert dropped == "Dropped cache `orders_cache`.\n"
    assert told("cache", "orders_cache", "drop") == "Cache `orders_cache` holds nothing.\n"
    assert not (root / "_data" / "tests").exists()
