"""Rows given to the inputs of a transformation, and what it makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from dlthub_project.errors import DatasetNotLoaded, EntityNotFound, ProjectError
from pytest_dlthub import DltProject, ProjectTransformation, table_rows

OpenProject = Callable[..., DltProject]

MANIFEST = """
    destinations:
      warehouse: {{type: postgres, credentials: "{{env.WAREHOUSE_URL}}"}}
    datasets:
      shop: {{destination: [warehouse]}}
      reports: {{destination: [warehouse]}}
      mails: {{destination: [warehouse]}}
    pipelines:
      load_orders: {{source: orders_api, destination: warehouse, dataset_name: shop}}
    caches:
      orders_cache:
        inputs: {inputs}
        outputs: {outputs}
    transformations:
      report: {{engine: {engine}, cache: orders_cache}}
"""
INPUTS = (
    "[{dataset: shop, tables: {orders: orders}}, "
    "{dataset: shop, tables: {cities: cities}, incremental: false}]"
)
OUTPUTS = "[{dataset: reports, tables: {totals: totals}}]"
QUERIES = {
    "transformations/report/placed.sql": "SELECT * FROM orders LEFT JOIN cities USING (city)",
    "transformations/report/totals.sql": (
        "SELECT name, count(*) AS orders, sum(price)::bigint AS price FROM placed GROUP BY name"
    ),
}
FUNCTION = """
import dlt

@dlt.hub.transformation
def totals(shop: dlt.Dataset):
    placed = shop["orders"].df().merge(shop["cities"].df(), on="city")
    totals = placed.groupby("name", as_index=False)
    yield totals.agg(orders=("price", "count"), price=("price", "sum"))
"""
ORDERS = [{"city": "r", "price": 1}, {"city": "r", "price": 2}]
CITIES = [{"city": "r", "name": "Rome"}]
ROME = {"name": "Rome", "orders": 2, "price": 3}


@pytest.fixture
def open_report(open_project: OpenProject) -> Callable[..., ProjectTransformation]:
    """Open a project's transformation: `open_report({file: text}, inputs=..., engine=...)`."""

    def open_it(
        files: dict[str, str] = QUERIES,
        inputs: str = INPUTS,
        outputs: str = OUTPUTS,
        engine: str = "sql",
    ) -> ProjectTransformation:
        manifest = MANIFEST.format(inputs=inputs, outputs=outputs, engine=engine)
        return open_project(manifest, files).transformation("report")

    return open_it


OpenReport = Callable[..., ProjectTransformation]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("engine", "files"),
    [("sql", QUERIES), ("python", {"transformations/report.py": FUNCTION})],
    ids=["sql", "python"],
)
def test_rows_in_rows_out_and_day_2_sees_new_rows_only(
    open_report: OpenReport, engine: str, files: dict[str, str]
) -> None:
    run = open_report(files, engine=engine).run(given={"orders": ORDERS, "shop.cities": CITIES})

    assert run.rows("totals") == run.rows("reports.totals") == [ROME]
    assert run.rows("totals", "name", where="price = 3") == [("Rome",)]
    assert run.row_counts == {"totals": 1}
    assert run.tables == ["totals"]
    assert list(run.datasets) == ["reports"]
    assert run.dataset.table("totals").select("name").fetchall() == [("Rome",)]
    assert repr(run) == "<TransformationRun report: {'totals': 1}>"

    nothing_new = run.next()
    assert nothing_new.row_counts == {}
    assert nothing_new.flushed.is_empty

    day_2 = run.next(given={"orders": [{"city": "r", "price": 4}]})
    assert day_2.row_counts == {"totals": 1}
    assert sorted(row["price"] for row in day_2.rows("totals")) == [3, 4]


def test_tables_that_are_no_outputs_are_in_the_cache(open_report: OpenReport) -> None:
    run = open_report().run(given={"orders": ORDERS, "cities": CITIES})

    assert len(table_rows(run.cache.table("placed"))) == 2


@pytest.mark.slow
def test_frames_arrow_pages_and_files_beside_the_test(
    open_report: OpenReport, write_project: Callable[..., Path]
) -> None:
    report = open_report()
    folder = Path(report._folder)
    (folder / "cities.json").write_text(json.dumps(CITIES), encoding="utf-8")
    parquet.write_table(pa.Table.from_pylist(ORDERS), folder / "orders.parquet")

    first = report.run(given={"orders": "orders.parquet", "cities": Path("cities.json")})
    assert first.rows("totals") == [ROME]
    for orders in (pd.DataFrame(ORDERS), pa.Table.from_pylist(ORDERS), [ORDERS[:1], ORDERS[1:]]):
        first.next(given={"orders": orders})

    assert first.rows("totals") == [ROME] * 4


@pytest.mark.slow
def test_tables_without_rows(open_report: OpenReport) -> None:
    report = open_report()
    without_rows = pa.Table.from_pylist(ORDERS).slice(0, 0)

    with pytest.raises(ProjectError, match=r"`orders` has no rows, and its columns are not known"):
        report.run(given={"orders": [], "cities": CITIES})
    run = report.run(given={"orders": without_rows, "cities": CITIES})

    assert (run.rows("totals"), run.row_counts) == ([], {})
    # they are known now
    assert run.next(given={"orders": [], "cities": CITIES}).row_counts == {}


def test_nested_rows_become_tables_of_their_own(open_report: OpenReport) -> None:
    report = open_report(
        {"transformations/report/totals.sql": "SELECT sku, price FROM lines, orders"},
        inputs="[{dataset: shop, tables: {orders: orders, orders__lines: lines}}]",
    )

    run = report.run(given={"orders": [{"price": 1, "lines": [{"sku": "a"}, {"sku": "b"}]}]})

    assert sorted(row["sku"] for row in run.rows("totals")) == ["a", "b"]


@pytest.mark.slow
def test_rows_are_added_to_what_a_pipeline_has_loaded_and_the_other_way_round(
    open_project: OpenProject,
) -> None:
    manifest = MANIFEST.format(inputs=INPUTS, outputs=OUTPUTS, engine="sql")
    source = """
import dlt

@dlt.source
def orders_api():
    return dlt.resource([], name="orders")
"""
    with_source = manifest + "    sources: {orders_api: {type: shop_api.orders_api}}\n"
    project = open_project(with_source, {**QUERIES, "sources/shop_api.py": source})
    report = project.transformation("report")

    project.run("load_orders", given={"orders": ORDERS})
    first = report.run(given={"cities": CITIES})
    project.run("load_orders", given={"orders": [{"city": "r", "price": 4}]})
    second = report.run()

    assert first.rows("totals")[0] == ROME
    assert [row["price"] for row in second.rows("totals")] == [3, 4]


@pytest.mark.slow
def test_outputs_in_several_datasets(open_report: OpenReport) -> None:
    run = open_report(
        outputs="[{dataset: reports, tables: {totals: totals, placed: orders}}, "
        "{dataset: mails, tables: {totals: totals}}]"
    ).run(given={"orders": ORDERS, "cities": CITIES})

    assert run.row_counts == {"reports.totals": 1, "orders": 2, "mails.totals": 1}
    assert run.rows("mails.totals") == [ROME]
    assert list(run.datasets) == ["reports", "mails"]
    with pytest.raises(ProjectError, match=r"several datasets.*\n.*mails, reports"):
        _ = run.dataset
    with pytest.raises(EntityNotFound, match=r"no table `totals`.*mails.totals"):
        run.rows("totals")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": ORDERS}, "no input `order`. Known: cities, orders. Did you mean `orders`?"),
        ({"mails.orders": ORDERS}, "no input `mails.orders`. Known: shop.cities, shop.orders."),
        ({"orders": "none.csv"}, "there is no file"),
        ({"orders": {"city": "r"}}, "a list of rows or pages"),
    ],
    ids=["unknown", "unknown dataset", "no file", "no rows"],
)
def test_what_cannot_be_given_is_refused_before_anything_is_loaded(
    open_report: OpenReport, given: dict[str, Any], message: str
) -> None:
    report = open_report()

    with pytest.raises(ProjectError) as caught:
        report.run(given={"cities": CITIES, **given})

    assert message in str(caught.value)
    with pytest.raises(DatasetNotLoaded, match=r"Dataset `shop` does not exist"):
        report.run()


@pytest.mark.slow
def test_a_table_of_two_inputs_is_named_with_its_dataset(open_report: OpenReport) -> None:
    report = open_report(
        {"transformations/report/totals.sql": "SELECT (SELECT count(*) FROM mails) AS mails"},
        inputs="[{dataset: shop}, {dataset: mails, tables: {orders: mails}}, {dataset: reports}]",
        outputs="[{dataset: shop, tables: {totals: totals}}]",
    )

    with pytest.raises(EntityNotFound, match=r"no input `nowhere.x`. Known: mails.orders. Any"):
        report.run(given={"nowhere.x": ORDERS})
    with pytest.raises(ProjectError, match=r"`x` is ambiguous.\nName one of shop.x, reports.x"):
        report.run(given={"x": ORDERS})
    run = report.run(given={"orders": ORDERS, "shop.x": [{"a": 1}], "reports.y": [{"a": 1}]})

    assert run.rows("totals") == [{"mails": 2}]


def test_a_table_that_is_neither_given_nor_loaded_is_named(open_report: OpenReport) -> None:
    with pytest.raises(DatasetNotLoaded, match=r"has no table `cities`"):
        open_report().run(given={"orders": ORDERS})


def test_a_transformation_that_is_not_declared(open_project: OpenProject) -> None:
    project = open_project(MANIFEST.format(inputs=INPUTS, outputs=OUTPUTS, engine="sql"))

    with pytest.raises(EntityNotFound, match=r"no transformation `reports`.*`report`"):
        project.transformation("reports")


def test_a_table_that_was_not_written_is_said_to_be_so(open_report: OpenReport) -> None:
    function = FUNCTION.replace("    yield", "    if False: yield")
    run = open_report({"transformations/report.py": function}, engine="python").run(
        given={"orders": ORDERS, "cities": CITIES}
    )

    assert run.tables == []
    with pytest.raises(ProjectError, match=r"Nothing was written to `reports.totals`"):
        run.rows("totals")
