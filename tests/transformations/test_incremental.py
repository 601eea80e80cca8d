"""A transformation makes its tables of the loads that they have not seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project import current
from dlthub_project.errors import ProjectError
from dlthub_project.transformations.cache_inputs import InputDataset

WriteShop = Callable[..., Any]


def test_a_run_adds_what_new_loads_bring_and_without_any_writes_nothing(
    write_shop: WriteShop,
) -> None:
    shop = write_shop()
    shop.load(1, 2, 4)

    first = shop.report.run()
    second = shop.report.run()
    assert (first.rows, second.rows, second.is_empty) == ({"reports": {"totals": 2}}, {}, True)
    assert shop.rows("totals", "city", "orders", "price") == [("Oslo", 1, 10), ("Rome", 2, 60)]
    assert shop.loads() == 1

    shop.load(6)
    assert shop.report.run().rows == {"reports": {"totals": 1}}
    assert shop.rows("totals", "city", "orders") == [("Oslo", 1), ("Rome", 1), ("Rome", 2)]
    assert shop.loads() == 2


@pytest.mark.slow
def test_a_load_that_ends_while_inputs_are_looked_at_is_not_lost(
    write_shop: WriteShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = write_shop(
        inputs="[{dataset: shop_data, tables: {orders: orders}}, "
        "{dataset: shop_data, tables: {orders__lines: lines}}]"
    )
    shop.load(1)
    look = InputDataset.completed_loads

    def look_and_load(source: InputDataset) -> Any:
        found = look(source)
        monkeypatch.setattr(InputDataset, "completed_loads", look)
        shop.load(2)
        return found

    monkeypatch.setattr(InputDataset, "completed_loads", look_and_load)
    shop.report.run()
    shop.report.run()

    assert shop.rows("totals", "city", "orders") == [("Oslo", 1), ("Rome", 1)]


@pytest.mark.slow
def test_inputs_of_one_dataset_have_the_loads_of_their_own_pipelines(
    write_shop: WriteShop,
) -> None:
    shop = write_shop(
        inputs="[{dataset: shop_data, tables: {orders: orders}}, "
        "{dataset: shop_data, tables: {visits: visits}}]",
        pipelines="load_visits: {destination: warehouse, dataset_name: shop_data}",
    )
    shop.load(1)
    shop.load(3, table="visits", pipeline="load_visits")
    shop.report.run()
    shop.load(5, table="visits", pipeline="load_visits")
    shop.report.run()

    assert shop.rows("totals", "city", "orders") == [("Oslo", 1)]


@pytest.mark.parametrize("value", ["false", "False", "no", "0"])
def test_whether_an_input_is_incremental_may_be_a_variable(
    write_shop: WriteShop, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("INCREMENTAL_OF_TEST", value)
    write_shop(inputs="[{dataset: shop_data, incremental: '{env.INCREMENTAL_OF_TEST}'}]")

    assert "(all loads)" in str(current.entities().get_cache("orders_cache").info())


@pytest.mark.slow
def test_rows_of_nested_tables_are_new_with_those_that_they_belong_to(
    write_shop: WriteShop,
) -> None:
    shop = write_shop(
        {
            "transformations/report/skus.sql": "SELECT sku FROM orders__lines",
            "transformations/report/parts.sql": "SELECT count(*) AS n FROM orders__lines__parts",
        },
        outputs="[{dataset: reports}]",
    )
    for ids in ((1,), (2, 3)):
        shop.load(*ids)
        shop.report.run()

    assert shop.rows("skus", "sku") == [(f"{i}/{n}",) for i in (1, 2, 3) for n in (1, 2)]
    assert shop.rows("parts", "n") == [(2,), (4,)]


@pytest.mark.slow
def test_what_was_seen_survives_the_loss_of_the_working_folder_and_the_cache(
    write_shop: WriteShop,
) -> None:
    shop = write_shop()
    shop.load(1)
    shop.report.run()
    for folder in ("pipelines", "caches"):
        shutil.rmtree(Path(current.config().data_dir, folder))

    assert shop.report.run().is_empty

    shop.load(3)
    shop.report.run()
    assert shop.rows("totals", "city", "price") == [("Oslo", 10), ("Oslo", 30)]


@pytest.mark.slow
def test_a_replaced_table_is_made_of_all_loads_beside_one_that_is_added_to(
    write_shop: WriteShop,
) -> None:
    shop = write_shop(
        {
            "transformations/report/totals.sql": "SELECT count(*) AS orders FROM orders",
            "transformations/report/latest.sql": "SELECT * FROM totals",
        },
        outputs="[{dataset: reports, tables: {latest: latest}},"
        "{dataset: reports, tables: {totals: all}, write_disposition: replace}]",
    )
    for ids in ((1,), (2, 3)):
        shop.load(*ids)
        shop.report.run()

    assert shop.rows("latest", "orders") == [(1,), (2,)]
    assert shop.rows("all", "orders") == [(3,)]
    assert shop.loads() == 2


@pytest.mark.slow
def test_a_replaced_table_of_which_nothing_is_left_is_emptied(write_shop: WriteShop) -> None:
    shop = write_shop(
        {
            "transformations/report/few.sql": "SELECT id FROM orders "
            "WHERE (SELECT count(*) = 1 FROM orders)"
        },
        outputs="[{dataset: reports, write_disposition: replace}]",
    )
    shop.load(1)
    shop.report.run()
    assert shop.rows("few", "id") == [(1,)]
    shop.load(2)
    shop.report.run()

    assert shop.rows("few", "id") == []


def test_merged_tables_replace_the_rows_of_a_key(write_shop: WriteShop) -> None:
    shop = write_shop(
        {
            "transformations/report/cities.sql": "SELECT city, max(id) AS latest FROM orders "
            "GROUP BY 1"
        },
        outputs="[{dataset: reports, write_disposition: merge, primary_key: city}]",
    )
    for ids in ((1, 2), (4,)):
        shop.load(*ids)
        shop.report.run()

    assert shop.rows("cities", "city", "latest") == [("Oslo", 1), ("Rome", 4)]


@pytest.mark.slow
def test_an_input_that_is_not_incremental_is_offered_whole_and_is_no_reason_to_run(
    write_shop: WriteShop,
) -> None:
    shop = write_shop(
        {
            "transformations/report/named.sql": "SELECT o.id, c.name FROM orders o "
            "JOIN cities c ON c.city = o.city",
        },
        inputs="[{dataset: shop_data, tables: {orders: orders}},"
        "{dataset: places, tables: {cities: cities}, incremental: false}]",
        outputs="[{dataset: reports}]",
        pipelines="load_places: {destination: store, dataset_name: places}",
    )
    places = dlt.resource([{"city": "Rome", "name": "Roma"}], name="cities")
    current.runner().run_pipeline("load_places", data=places)
    shop.load(2)
    shop.report.run()

    current.runner().run_pipeline(
        "load_places", data=dlt.resource([{"city": "Oslo", "name": "Oslo"}], name="cities")
    )
    assert shop.report.run().is_empty

    shop.load(1, 4)
    shop.report.run()
    assert shop.rows("named", "id", "name") == [(1, "Oslo"), (2, "Roma"), (4, "Roma")]


def load_arrow(*ids: int) -> None:
    import pyarrow as pa

    rows = pa.table({"id": ids, "city": ["Rome"] * len(ids), "price": ids})
    current.runner().run_pipeline("load_orders", data=dlt.resource(rows, name="orders"))


def test_loads_that_cannot_be_told_apart_are_an_error_where_rows_are_to_be_appended(
    write_shop: WriteShop,
) -> None:
    output = "{dataset: reports, tables: {totals: totals}, write_disposition: append}"
    shop = write_shop(outputs=f"[{output}]")
    load_arrow(1)

    with pytest.raises(ProjectError, match=r"shop_data.orders` do not say which load") as caught:
        shop.report.run()
    assert "add_dlt_load_id" in caught.value.instruction
    assert "incremental: false" in caught.value.instruction


@pytest.mark.slow
def test_outputs_of_loads_that_cannot_be_told_apart_are_replaced(
    write_shop: WriteShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = write_shop()
    load_arrow(1, 2)
    assert shop.report.run().rows == {"reports": {"totals": 1}}
    assert shop.report.run().is_empty
    load_arrow(3)
    shop.report.run()

    assert shop.rows("totals", "city", "orders", "price") == [("Rome", 3, 6)]
    said = [each.getMessage() for each in caplog.records if "orders_cache" in each.getMessage()]
    assert len(said) == 1
    assert "`shop_data.orders`" in said[0]
    assert "replaces the outputs that have no `write_disposition`" in said[0]


def test_nothing_is_said_of_outputs_that_the_manifest_has_replaced(
    write_shop: WriteShop, caplog: pytest.LogCaptureFixture
) -> None:
    output = "{dataset: reports, tables: {totals: totals}, write_disposition: replace}"
    shop = write_shop(outputs=f"[{output}]")
    load_arrow(1)

    assert shop.report.run().rows == {"reports": {"totals": 1}}
    assert [each for each in caplog.records if "orders_cache" in each.getMessage()] == []


@pytest.mark.slow
def test_a_table_that_is_written_later_sees_all_loads(write_shop: WriteShop) -> None:
    shop = write_shop(
        {
            "transformations/report/totals.sql": "SELECT count(*) AS orders FROM orders",
            "transformations/report/more.sql": "SELECT id FROM orders",
        }
    )
    shop.load(1)
    shop.report.run()
    manifest = shop.folder / "dlt.yml"
    manifest.write_text(
        manifest.read_text().replace("{totals: totals}", "{totals: totals, more: more}")
    )
    current.context().reload()
    current.context().switch_profile("dev")
    shop.load(2)
    shop.report.run()

    assert shop.rows("totals", "orders") == [(1,), (1,)]
    assert shop.rows("more", "id") == [(1,), (2,)]


def test_outputs_in_the_dataset_of_the_inputs_are_no_inputs(write_shop: WriteShop) -> None:
    shop = write_shop(outputs="[{dataset: shop_data, tables: {totals: totals}}]")
    shop.load(1)

    shop.report.run()
    assert shop.report.run().is_empty
    assert shop.rows("totals", "city", dataset="shop_data") == [("Oslo",)]


@pytest.mark.slow
def test_steps_taken_one_by_one_write_each_row_once(write_shop: WriteShop) -> None:
    shop = write_shop()
    shop.load(1)
    shop.report.populate()
    shop.report.transform()
    shop.report.transform()
    shop.report.verify_outputs()
    assert shop.report.flush().rows == {"reports": {"totals": 1}}
    assert shop.report.flush().is_empty

    shop.load(3)
    shop.report.populate()
    shop.report.populate()
    shop.report.transform()
    shop.report.flush()
    assert shop.rows("totals", "price") == [(10,), (30,)]


def test_a_step_before_populate_is_an_error(write_shop: WriteShop) -> None:
    shop = write_shop()

    for step in (shop.report.transform, shop.report.flush):
        with pytest.raises(ProjectError, match=r"not populated\.\nCall populate\(\) first"):
            step()
