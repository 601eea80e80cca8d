"""`get_pipeline`: a declared pipeline as a live one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import dlt
import pytest

from dlthub_project import EntityNotFound, ManifestError, ProjectError, current, switch_profile

WriteProject = Callable[..., Path]


def test_a_pipeline_has_the_names_that_its_entry_gives(shop: Path) -> None:
    pipeline = current.entities().get_pipeline("load_orders")

    assert pipeline.pipeline_name == "load_orders"
    assert pipeline.dataset_name == "shop_data"
    assert pipeline.destination.destination_name == "warehouse"
    assert Path(pipeline.working_dir) == shop / "_data" / "dev" / "pipelines" / "load_orders"


# dlt measures memory where psutil is installed, and warns where it is not
@pytest.mark.filterwarnings("ignore:psutil dependency is not installed")
def test_every_argument_of_a_pipeline_may_be_declared(write_project: WriteProject) -> None:
    root = write_project(
        """
        destinations:
          warehouse: {type: redshift}
          stage: {type: filesystem, bucket_url: "{local_dir}/stage"}
        pipelines:
          load_orders:
            source: orders
            destination: warehouse
            dataset_name: shop_data
            staging: stage
            pipelines_dir: "{data_dir}/elsewhere"
            pipeline_salt: pepper
            dev_mode: true
            refresh: drop_data
            progress: log
        """
    )
    pipeline = current.entities().get_pipeline("load_orders")

    assert pipeline.staging is not None
    assert pipeline.staging.destination_name == "stage"
    assert Path(pipeline.pipelines_dir) == root / "_data" / "dev" / "elsewhere"
    assert pipeline.pipeline_salt == "pepper"
    assert pipeline.dev_mode is True
    assert pipeline.dataset_name.startswith("shop_data_2")
    assert pipeline.refresh == "drop_data"
    assert type(pipeline.collector).__name__ == "LogCollector"


def test_a_pipeline_may_import_and_export_its_schema(write_project: WriteProject) -> None:
    root = write_project(
        """
        pipelines:
          load_orders:
            destination: duckdb
            import_schema_path: "{project_dir}/schemas/import"
            export_schema_path: "{project_dir}/schemas/export"
        """
    )
    current.runner().run_pipeline("load_orders", data=[{"id": 1}], table_name="items")

    for folder in ("import", "export"):
        assert (root / "schemas" / folder / "load_orders.schema.yaml").is_file()


def test_a_dataset_that_is_not_named_has_the_default_name_of_dlt(
    write_project: WriteProject,
) -> None:
    write_project("pipelines:\n  load_orders: {source: orders, destination: duckdb}\n")

    ours = current.entities().get_pipeline("load_orders").dataset_name
    assert ours == dlt.pipeline("load_orders", destination="duckdb").dataset_name


def test_a_pipeline_without_a_destination_loads_where_its_dataset_lives(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        datasets:
          shop_data: {destination: [duckdb]}
        pipelines:
          load_orders: {source: orders, dataset_name: shop_data}
        """
    )
    pipeline = current.entities().get_pipeline("load_orders")

    assert pipeline.destination.destination_name == "duckdb"


def test_destination_and_dataset_may_be_asked_for(shop: Path) -> None:
    pipeline = current.entities().get_pipeline(
        "load_orders", destination="duckdb", dataset_name="other_data"
    )

    assert pipeline.destination.destination_name == "duckdb"
    assert pipeline.dataset_name == "other_data"


def test_an_unknown_pipeline_is_an_error_with_the_nearest_name(shop: Path) -> None:
    with pytest.raises(EntityNotFound) as caught:
        current.entities().get_pipeline("load_order")
    message = str(caught.value)

    assert f"There is no pipeline `load_order` in {shop / 'dlt.yml'}" in message
    assert "Known: load_orders. Did you mean `load_orders`?" in message
    assert "pipelines:\n    load_order:\n      source: " in message


def test_what_a_pipeline_names_is_refused_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        datasets:
          shop_data: {destination: [warehouse, lake]}
        destinations:
          warehouse: {type: duckdb}
        sources:
          other: {type: shop.other}
        pipelines:
          no_destination: {source: orders, destination: lake, dataset_name: shop_data}
          no_staging: {destination: warehouse, staging: stage, dataset_name: shop_data}
          no_source: {source: orders, destination: warehouse, dataset_name: shop_data}
        """
    )
    entities = current.entities()

    with pytest.raises(EntityNotFound) as caught:
        entities.get_pipeline("no_destination")
    assert "no destination `lake`, which pipeline `no_destination` asks for" in str(caught.value)
    assert "destinations:\n    lake:\n" in str(caught.value)
    with pytest.raises(EntityNotFound, match="no destination `stage`, which pipeline `no_staging`"):
        entities.get_pipeline("no_staging")
    with pytest.raises(EntityNotFound, match="no source `orders`, which pipeline `no_source`"):
        current.runner().run_pipeline("no_source")


def test_two_handles_share_one_working_folder(shop: Path) -> None:
    first = current.entities().get_pipeline("load_orders")
    second = current.entities().get_pipeline("load_orders")
    first.run([{"id": 1}], table_name="items")
    second.sync_schema_from = None  # type: ignore[attr-defined]  # a handle is an object of its own

    assert first is not second
    assert first.working_dir == second.working_dir
    assert not hasattr(first, "sync_schema_from")
    assert second.dataset()["items"].fetchall()[0][0] == 1


def test_plain_dlt_code_gets_destination_and_dataset_of_the_declared_pipeline(shop: Path) -> None:
    pipeline = dlt.pipeline("load_orders")
    pipeline.run([{"id": 1}], table_name="items")

    assert pipeline.dataset_name == "shop_data"
    assert pipeline.destination.destination_name == "warehouse"
    assert (shop / "_data" / "dev" / "local" / "warehouse.duckdb").is_file()


def test_the_environment_overrides_what_a_pipeline_declares(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(
        """
        pipelines:
          load_orders: {source: orders, destination: duckdb, dataset_name: shop_data}
        """
    )
    monkeypatch.setenv("PIPELINES__LOAD_ORDERS__DATASET_NAME", "other_data")
    monkeypatch.setenv("PIPELINES__LOAD_ORDERS__DESTINATION_TYPE", "postgres")
    monkeypatch.setenv("PIPELINES__LOAD_ORDERS__DEV_MODE", "true")
    ours = current.entities().get_pipeline("load_orders")
    plain = dlt.pipeline("load_orders")

    for pipeline in (ours, plain):
        assert pipeline.dataset_name.startswith("other_data_2")
        assert pipeline.destination.destination_type == "dlt.destinations.postgres"
    assert current.entities().list_datasets() == ["other_data"]


def test_the_environment_without_a_section_does_not_override_what_a_pipeline_declares(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_NAME", "other_data")

    assert current.entities().get_pipeline("load_orders").dataset_name == "shop_data"


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False)])
def test_a_flag_may_be_an_environment_variable(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("DEV_MODE_OF_TEST", value)
    write_project(
        """
        pipelines:
          load_orders: {source: orders, destination: duckdb, dev_mode: "{env.DEV_MODE_OF_TEST}"}
        """
    )

    assert current.entities().get_pipeline("load_orders").dev_mode is expected


def test_a_variable_that_is_not_set_is_an_error_of_the_pipeline_that_uses_it(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATASET_OF_TEST", raising=False)
    write_project(
        """
        pipelines:
          load_orders: {source: a, destination: duckdb, dataset_name: "{env.DATASET_OF_TEST}"}
          load_others: {source: a, destination: duckdb, dataset_name: others}
        """
    )
    entities = current.entities()

    assert entities.list_pipelines() == ["load_orders", "load_others"]
    assert entities.list_datasets() == ["others"]
    assert entities.get_pipeline("load_others").dataset_name == "others"
    with pytest.raises(
        ManifestError, match=r"dlt\.yml:3:\d+: pipelines\.load_orders.*DATASET_OF_TEST is not set"
    ):
        entities.get_pipeline("load_orders")


def test_entities_of_a_profile_that_was_left_are_refused(shop: Path) -> None:
    entities = current.entities()
    switch_profile("tests")

    for get, name in (
        (entities.get_source, "orders"),
        (entities.get_destination, "warehouse"),
        (entities.get_dataset, "shop_data"),
        (entities.get_pipeline, "load_orders"),
    ):
        with pytest.raises(ProjectError, match=r"profile 'tests'.* is active now") as caught:
            get(name)
        assert "again after switching" in caught.value.instruction


def test_listing_imports_no_code_of_the_project_and_makes_no_folder(
    write_project: WriteProject,
) -> None:
    root = write_project(
        """
        sources:
          orders: {type: shop.orders}
        destinations:
          warehouse: {type: sinks.collect}
        pipelines:
          load_orders: {source: orders, destination: warehouse}
        caches: {hot: {}}
        transformations: {report: {cache: hot}}
        """,
        {
            "sources/shop.py": 'raise RuntimeError("imported")\n',
            "destinations/sinks.py": 'raise RuntimeError("imported")\n',
        },
    )
    entities = current.entities()

    assert entities.list_pipelines() == ["load_orders"]
    assert entities.list_datasets() == ["load_orders_dataset"]
    assert entities.list_sources() == ["orders"]
    assert entities.list_destinations() == ["warehouse"]
    assert entities.list_caches() == ["hot"]
    assert entities.list_transformations() == ["report"]
    assert entities.datasets.locate_all()["load_orders_dataset"].destination_name == "warehouse"
    assert repr(current.catalog()) == "load_orders_dataset@warehouse[sinks.collect]"
    assert repr(current.project()).endswith("1 pipelines>")
    assert not (root / "_data" / "dev" / "pipelines").exists()
    assert not {"sources.shop", "destinations.sinks"} & set(sys.modules)
