"""The catalog: which datasets there are, and reading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dlt
import pytest

from dlthub_project import (
    Catalog,
    DatasetNotLoaded,
    EntityFactory,
    EntityNotFound,
    ManifestError,
    PipelineManager,
    current,
)
from dlthub_project.errors import DestinationNotAllowed

WriteProject = Callable[..., Path]

MANY = """
    destinations:
      warehouse: {type: duckdb}
      far_away: {type: postgres, credentials: "postgres://ada:secret@db.invalid/shop"}
    datasets:
      shop_data: {destination: [warehouse, duckdb]}
      far_data: {destination: [far_away]}
    pipelines:
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
      load_again: {source: orders, destination: warehouse, dataset_name: shop_data}
      load_more: {source: orders, destination: warehouse}
"""


@pytest.fixture
def loaded(shop: Path) -> Path:
    """The shop, after its pipeline has run."""
    current.runner().run_pipeline("load_orders")
    return shop


def test_the_catalog_maps_names_to_datasets(write_project: WriteProject) -> None:
    write_project(MANY)
    catalog = current.catalog()

    assert list(catalog) == ["shop_data", "far_data", "load_more_dataset"]
    assert len(catalog) == 3
    assert "shop_data" in catalog
    assert "load_more_dataset" in catalog
    assert "shop_dat" not in catalog
    assert 7 not in catalog


def test_the_catalog_has_declared_datasets_alone_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project("    project: {allow_undefined_entities: false}\n" + MANY.lstrip("\n"))

    assert list(current.catalog()) == ["shop_data", "far_data"]


def test_a_dataset_is_reached_by_name_key_and_attribute(loaded: Path) -> None:
    catalog = current.catalog()

    for dataset in (catalog.dataset("shop_data"), catalog["shop_data"], catalog.shop_data):
        assert isinstance(dataset, dlt.Dataset)
        assert dataset.table("items").select("id").fetchall() == [(1,), (2,), (3,)]
    assert list(dict(catalog)) == ["shop_data"]


def test_a_dataset_reads_as_one_of_dlt(loaded: Path) -> None:
    dataset = current.catalog().dataset("shop_data")

    assert dict(dataset.row_counts().fetchall())["items"] == 3
    assert list(dataset["items"].df()["price"]) == [10, 20, 30]
    assert dataset.items.arrow().num_rows == 3
    assert dataset("SELECT sum(price) FROM items").fetchall() == [(60,)]
    assert sum(len(frame) for frame in dataset.table("items").iter_df(chunk_size=2)) == 3


def test_names_are_completed_in_notebooks(write_project: WriteProject) -> None:
    write_project(MANY)
    catalog = current.catalog()

    assert {"shop_data", "far_data", "dataset"} <= set(dir(catalog))
    assert catalog._ipython_key_completions_() == ["shop_data", "far_data", "load_more_dataset"]


def test_printing_the_catalog_connects_to_nothing_and_shows_no_secret(
    write_project: WriteProject,
) -> None:
    root = write_project(MANY)

    warehouse = root / "_data" / "dev" / "local" / "warehouse.duckdb"

    assert repr(current.catalog()).splitlines() == [
        f"shop_data@warehouse[{warehouse}]",
        "far_data@far_away[db.invalid/shop]",
        f"load_more_dataset@warehouse[{warehouse}]",
    ]
    assert not list(warehouse.parent.iterdir())


def test_a_catalog_without_datasets_says_so(write_project: WriteProject) -> None:
    write_project("")

    assert repr(current.catalog()) == "<Catalog: no datasets>"


def test_printing_the_catalog_shows_also_what_cannot_be_located(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACE_OF_TEST", raising=False)
    root = write_project(
        """
        datasets:
          somewhere: {}
          variable: {destination: "{env.PLACE_OF_TEST}"}
          shop_data: {destination: duckdb}
        """
    )

    assert repr(current.catalog()).splitlines() == [
        "somewhere@?",
        "variable@?",
        f"shop_data@duckdb[{root / '_data' / 'dev' / 'local' / 'duckdb.duckdb'}]",
    ]


def test_a_dataset_that_is_not_loaded_names_the_command_that_loads_it_and_makes_no_file(
    write_project: WriteProject,
) -> None:
    root = write_project(MANY)
    with pytest.raises(DatasetNotLoaded) as caught:
        current.catalog().dataset("shop_data").table("items")
    message = str(caught.value)

    assert "Dataset `shop_data` does not exist on destination `warehouse` yet" in message
    assert "(profile dev)" in message
    assert "`dlt pipeline load_orders run --profile dev` or `dlt pipeline load_again" in message
    assert not list((root / "_data" / "dev" / "local").iterdir())


def test_a_dataset_that_is_not_loaded_says_so_where_others_are(loaded: Path) -> None:
    entities = current.entities()
    (loaded / "dlt.yml").write_text(
        (loaded / "dlt.yml").read_text() + "  load_more: {source: orders, destination: warehouse}\n"
    )
    current.context().switch_profile("dev")

    assert current.catalog().dataset("shop_data").table("items").fetchall()
    with pytest.raises(DatasetNotLoaded, match="dlt pipeline load_more run"):
        current.catalog().dataset("load_more_dataset")
    assert entities.list_pipelines() == ["load_orders"]


def test_the_command_that_loads_a_dataset_names_the_profile_where_it_is_not_the_default(
    write_project: WriteProject,
) -> None:
    write_project(MANY)
    current.context().switch_profile("tests")

    with pytest.raises(DatasetNotLoaded, match="`dlt pipeline load_orders run --profile tests`"):
        _ = current.catalog().dataset("shop_data").tables


def test_a_dataset_that_no_pipeline_loads_says_so(write_project: WriteProject) -> None:
    write_project(MANY)

    with pytest.raises(DatasetNotLoaded, match="No pipeline or transformation of this project"):
        _ = current.catalog().dataset("shop_data", "duckdb").tables
    with pytest.raises(DatasetNotLoaded) as caught:
        current.catalog().dataset("anything", "duckdb")
    declared = "`load_anything: {destination: duckdb, dataset_name: anything}`"
    assert f"such as {declared}" in str(caught.value)


def test_a_dataset_that_a_transformation_writes_names_that(write_project: WriteProject) -> None:
    write_project(
        """
        datasets: {shop: {}, marts: {destination: duckdb}}
        caches:
          shop_cache:
            inputs: [{dataset: shop}]
            outputs: [{dataset: marts, tables: {totals: totals}}]
        transformations:
          report: {engine: sql, cache: shop_cache}
        pipelines: {load_shop: {destination: duckdb, dataset_name: shop}}
        """
    )

    with pytest.raises(DatasetNotLoaded) as caught:
        _ = current.catalog().marts.tables
    assert "`dlt transformation report run --profile dev`" in str(caught.value)


def test_a_dataset_that_nobody_knows_is_an_error_of_the_way_it_is_asked_for(
    write_project: WriteProject,
) -> None:
    write_project(MANY)
    catalog = current.catalog()

    with pytest.raises(EntityNotFound, match="Did you mean `shop_data`"):
        catalog.dataset("shop_dat")
    with pytest.raises(KeyError, match="Did you mean `shop_data`") as by_key:
        catalog["shop_dat"]
    with pytest.raises(AttributeError, match="Did you mean `shop_data`") as by_attribute:
        _ = catalog.shop_dat
    assert catalog.get("shop_dat") is None
    assert not hasattr(catalog, "_repr_html_")
    for caught in (by_key.value, by_attribute.value):
        assert isinstance(caught, EntityNotFound)
        assert "datasets:\n    shop_dat:\n" in str(caught)


def test_a_dataset_that_cannot_be_located_is_not_taken_for_an_unknown_one(
    write_project: WriteProject,
) -> None:
    write_project("datasets:\n  shop_data: {}\n")

    with pytest.raises(EntityNotFound, match="nothing says on which destination"):
        current.catalog().get("shop_data")


def test_a_dataset_is_asked_for_on_any_of_its_destinations(loaded: Path) -> None:
    catalog = current.catalog()

    assert catalog.dataset("shop_data", "warehouse").table("items").fetchall()
    with pytest.raises(DestinationNotAllowed, match="Allowed: warehouse"):
        catalog.dataset("shop_data", "duckdb")


def test_a_variable_that_is_not_set_is_an_error_of_the_dataset_that_is_opened(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACE_OF_TEST", raising=False)
    write_project("datasets:\n  shop_data: {destination: '{env.PLACE_OF_TEST}'}\n")

    with pytest.raises(ManifestError, match="PLACE_OF_TEST is not set"):
        _ = current.catalog().shop_data


def test_the_tables_of_all_pipelines_of_a_dataset_are_visible(shop: Path) -> None:
    manager = current.runner()
    manager.run_pipeline("load_orders")
    other = dlt.pipeline("by_hand", destination="warehouse", dataset_name="shop_data")
    other.run([{"id": 1}], table_name="staff")
    dataset = current.catalog().shop_data

    assert sorted(dataset.row_counts().fetchall()) == [
        ("customers", 1),
        ("customers__emails", 1),
        ("items", 3),
        ("staff", 1),
    ]
    assert [schema.name for schema in dataset.schemas] == ["orders", "by_hand"]
    assert dataset("SELECT count(*) FROM items, staff").fetchall() == [(3,)]


@pytest.mark.slow
def test_the_columns_of_two_pipelines_that_share_a_schema_are_all_visible(shop: Path) -> None:
    def load(pipeline: str, row: dict[str, int], table: str) -> None:
        dlt.pipeline(pipeline, destination="warehouse", dataset_name="shop_data").run(
            [row], table_name=table, schema=dlt.Schema("shared")
        )

    load("first", {"id": 1, "a": 1}, "items")
    load("second", {"id": 2, "b": 2}, "items")
    load("first", {"id": 3, "c": 3}, "items")
    load("second", {"id": 4}, "others")
    rows = current.catalog().shop_data.table("items").select("id", "a", "b", "c")

    assert sorted(rows.fetchall()) == [(1, 1, None, None), (2, None, 2, None), (3, None, None, 3)]
    assert current.catalog().shop_data.table("others").select("id").fetchall() == [(4,)]


def test_a_dataset_of_files_is_read_too(write_project: WriteProject) -> None:
    root = write_project(
        """
        destinations:
          lake: {type: filesystem, bucket_url: "{local_dir}/lake"}
        pipelines:
          load_orders: {destination: lake, dataset_name: shop_data}
        """
    )
    with pytest.raises(DatasetNotLoaded):
        current.catalog().dataset("shop_data")
    current.runner().run_pipeline("load_orders", data=[{"id": 1}], table_name="items")

    assert (root / "_data" / "dev" / "local" / "lake" / "shop_data" / "items").is_dir()
    assert current.catalog().shop_data.table("items").select("id").fetchall() == [(1,)]


def test_a_destination_that_cannot_be_read_says_so(write_project: WriteProject) -> None:
    write_project(
        """
        destinations:
          sink: {type: destinations.sinks.collect}
        pipelines:
          load_orders: {destination: sink, dataset_name: shop_data}
        """,
        {
            "destinations/sinks.py": """
                import dlt


                @dlt.destination
                def collect(items, table):
                    pass
            """
        },
    )
    current.runner().run_pipeline("load_orders", data=[{"id": 1}], table_name="items")

    with pytest.raises(DatasetNotLoaded, match="destination `sink` keeps no datasets to read"):
        current.catalog().dataset("shop_data")


def test_entities_catalog_and_runner_are_made_of_a_project_its_context_or_its_entities(
    shop: Path,
) -> None:
    PipelineManager(current.config()).run_pipeline("load_orders", resources=["items"])

    for given in (current.config(), current.context(), current.entities()):
        made = EntityFactory(given)
        assert (made.project, made.list_pipelines()) == (current.config(), ["load_orders"])
        assert PipelineManager(given).entities.list_pipelines() == ["load_orders"]
        catalog = Catalog(given)
        assert list(catalog) == ["shop_data"]
        assert "items" in catalog.dataset("shop_data").tables

    for kind in (EntityFactory, PipelineManager, Catalog):
        with pytest.raises(TypeError, match="Project or a ProjectRunContext is expected, not str"):
            kind("shop")  # type: ignore[arg-type]
