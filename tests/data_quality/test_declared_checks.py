"""Checks and metrics of a dataset's tables in `dlt.yml`."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project import current
from dlthub_project import data_quality as dq

WriteProject = Callable[..., Path]

MANIFEST = """
sources: {shop: {type: shop.shop}}
destinations: {warehouse: {type: duckdb}}
datasets:
  sales:
    destination: warehouse
    metrics: [total_row_count]
    tables:
      orders:
        checks:
          - is_unique: id
          - is_not_null: [id, at]
          - is_primary_key: {columns: id, name: key, only_this_load: true}
          - is_in: {column: currency, values: [EUR, USD], at_least: 0.5}
          - between: {column: total, low: 0, severity: warn}
          - between: {column: day, low: 2026-01-01, name: this_year}
          - matches: {column: currency, pattern: "^[A-Z]{3}$"}
          - case: total > -9
          - case: {condition: "id < {env.MOST:9}", name: few}
          - is_foreign_key: {column: customer, to: customers.id}
          - freshness: {column: at, within: {hours: 12, minutes: 30}}
          - row_count: {min: 2}
        metrics:
          - row_count
          - maximum: [total, id]
          - quantile: {column: total, quantile: 0.5}
      others:
        checks: [{row_count: {min: 1}}]
pipelines:
  load: {source: shop, destination: warehouse, dataset_name: sales}
  more: {source: shop, destination: warehouse, dataset_name: sales}
"""
CODE = """
import datetime
import dlt
from dlthub_project import data_quality as dq

NOW = datetime.datetime.now(datetime.timezone.utc)
ORDER = {"currency": "EUR", "customer": 1, "at": NOW, "day": datetime.date(2026, 5, 1)}

@dlt.source
def shop():
    rows = [{"id": 1, "total": -3, **ORDER}, {"id": 2, "total": 5, **ORDER}]
    orders = dq.with_checks(dq.checks.is_unique("id"))(dlt.resource(rows, name="orders"))
    return orders, dlt.resource([{"id": 1}], name="customers")
"""


def test_a_manifest_says_what_must_hold_and_what_is_measured(write_project: WriteProject) -> None:
    write_project(MANIFEST, {"sources/shop.py": CODE})
    pipeline = current.entities().get_pipeline("load")
    info = current.runner().run(pipeline)

    checks = dq.checks_of(pipeline.dataset())
    ours = [*checks["orders"]]
    # what the resource brings, too, is there once; others of the dataset have no table yet
    assert set(checks) == {"orders"}
    assert ours[0] == dq.checks.is_unique("id")
    assert dq.checks.is_not_null("id", "at") in ours
    assert dq.checks.is_primary_key("id", name="key", only_this_load=True) in ours
    assert dq.checks.is_in("currency", ["EUR", "USD"], at_least=0.5) in ours
    assert dq.checks.between("day", datetime.date(2026, 1, 1), name="this_year") in ours
    assert dq.checks.case("id < 9", name="few") in ours
    assert dq.checks.freshness("at", datetime.timedelta(hours=12.5)) in ours
    assert len(ours) == 12

    results = dq.check_load(pipeline, info)
    assert [str(one) for one in results.failed] == ["orders: total__between: 1 of 2 row fails"]
    measured = {
        (one.table, one.metric, one.column): one.value for one in dq.measure_load(pipeline, info)
    }
    assert measured == {
        (None, "total_row_count", None): 3,
        ("orders", "row_count", None): 2,
        ("orders", "maximum", "total"): 5,
        ("orders", "maximum", "id"): 2,
        ("orders", "quantile_0.5", "total"): 1.0,
    }
    # the catalog's datasets have the same
    assert dq.checks_of(current.catalog().dataset("sales"))["orders"][0] == ours[0]
    assert len(dq.checks_of(current.catalog().dataset("sales"))["orders"]) == 12
    # a table that must be there is asked for
    [missing] = [one for one in dq.check_load(pipeline, info, is_whole=True) if one.error]
    assert str(missing).startswith("others: row_count cannot be checked: ")
    assert "no table `others`. Known: customers, orders. Did you mean" in str(missing)


def test_outside_of_a_project_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    dataset = dlt.dataset(
        dlt.destinations.duckdb(str(tmp_path / "a.duckdb")), "sales", dlt.Schema("s")
    )
    assert dq.checks_of(dataset) == {}
