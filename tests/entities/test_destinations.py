"""`get_destination`: declared, made from its name, or redirected by configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project import EntityNotFound, ManifestError, current
from dlthub_project.errors import EntityReferenceError

WriteProject = Callable[..., Path]


def test_a_declared_destination_has_the_name_of_its_entry_and_its_type(
    write_project: WriteProject,
) -> None:
    write_project("destinations:\n  warehouse: {type: postgres}\n")
    destination = current.entities().get_destination("warehouse")

    assert destination.destination_name == "warehouse"
    assert destination.destination_type == "dlt.destinations.postgres"


def test_the_type_of_a_destination_is_its_name_where_none_is_declared(
    write_project: WriteProject,
) -> None:
    write_project("destinations:\n  duckdb: {}\n")

    assert current.entities().get_destination("duckdb").destination_type == (
        "dlt.destinations.duckdb"
    )


def test_a_destination_that_is_only_named_is_made_from_its_name(
    write_project: WriteProject,
) -> None:
    write_project("")
    destination = current.entities().get_destination("duckdb")

    assert (destination.destination_name, destination.destination_type) == (
        "duckdb",
        "dlt.destinations.duckdb",
    )


def test_a_destination_that_is_only_named_may_have_its_type_from_the_environment(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project("")
    monkeypatch.setenv("DESTINATION__LAKE__DESTINATION_TYPE", "filesystem")

    assert current.entities().get_destination("lake").destination_type == (
        "dlt.destinations.filesystem"
    )


def test_the_environment_overrides_the_declared_type(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "postgres")

    assert current.entities().get_destination("warehouse").destination_type == (
        "dlt.destinations.postgres"
    )


def test_values_of_a_destination_are_its_configuration(write_project: WriteProject) -> None:
    root = write_project(
        """
        destinations:
          warehouse: {type: duckdb, credentials: "{data_dir}/shop.db"}
        """
    )
    client = current.entities().get_dataset("anything", "warehouse").destination_client

    assert client.config.credentials.database == str(root / "_data" / "dev" / "shop.db")


def test_an_undeclared_destination_is_refused_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        destinations:
          warehouse: {type: duckdb}
        """
    )
    with pytest.raises(EntityNotFound) as caught:
        current.entities().get_destination("warehose")
    message = str(caught.value)

    assert "There is no destination `warehose`" in message
    assert "Did you mean `warehouse`?" in message
    assert "destinations:\n    warehose:\n      type: duckdb" in message


def test_an_unknown_type_says_where_it_stands_and_what_was_tried(
    write_project: WriteProject,
) -> None:
    root = write_project("destinations:\n  warehouse: {type: ducdb}\n")
    with pytest.raises(EntityReferenceError) as caught:
        current.entities().get_destination("warehouse")
    message = str(caught.value)

    assert f"{root / 'dlt.yml'}:2:3: destinations.warehouse" in message
    assert "no destination is found for `ducdb`" in message
    assert "dlt.destinations.ducdb: " in message
    assert "Did you mean `duckdb`?" in message
    assert str(root / "destinations") in message


def test_an_unknown_name_is_an_unknown_type(write_project: WriteProject) -> None:
    root = write_project("pipelines:\n  load_orders: {destination: nowhere}\n")

    with pytest.raises(EntityReferenceError) as caught:
        current.entities().get_pipeline("load_orders")
    assert (
        f"{root / 'dlt.yml'}: destination `nowhere`, which pipeline `load_orders` asks for: "
        "no destination is found for `nowhere`. Tried, in this order:"
    ) in str(caught.value)


def test_a_variable_that_is_not_set_is_an_error_of_the_destination_that_uses_it(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TYPE_OF_TEST", raising=False)
    write_project(
        "destinations:\n  other: {type: duckdb}\n  warehouse: {type: '{env.TYPE_OF_TEST}'}\n"
    )
    entities = current.entities()

    assert entities.get_destination("other").destination_name == "other"
    with pytest.raises(ManifestError, match=r"dlt\.yml:3:\d+: .*TYPE_OF_TEST is not set"):
        entities.get_destination("warehouse")


CUSTOM = """
    import dlt

    received = []


    @dlt.destination(batch_size=0)
    def collect(items, table, prefix: str = dlt.config.value):
        received.append((prefix, table["name"]))
"""


def test_a_function_in_the_destinations_folder_is_a_destination(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        sources:
          orders: {type: shop.orders}
        destinations:
          sink: {type: destinations.sinks.collect, prefix: out}
        pipelines:
          load_orders: {source: orders, destination: sink}
        """,
        {
            "destinations/sinks.py": CUSTOM,
            "sources/shop.py": """
                import dlt


                @dlt.resource
                def orders():
                    yield [{"id": 1}]
            """,
        },
    )
    current.runner().run_pipeline("load_orders")
    import destinations.sinks  # type: ignore[import-not-found]

    assert destinations.sinks.received == [("out", "orders")]


def test_a_module_that_raises_shows_its_own_error_for_a_destination_too(
    write_project: WriteProject,
) -> None:
    root = write_project(
        "destinations:\n  sink: {type: destinations.sinks.collect}\n",
        {"destinations/sinks.py": 'limit = int("not a number")\n'},
    )
    with pytest.raises(ValueError, match="not a number") as caught:
        current.entities().get_destination("sink")

    assert str(root / "destinations" / "sinks.py") in [str(e.path) for e in caught.traceback]


def test_plain_dlt_code_finds_the_destinations_of_the_project(shop: Path) -> None:
    pipeline = dlt.pipeline("any", destination="warehouse")

    assert pipeline.destination.destination_name == "warehouse"
    assert pipeline.destination.destination_type == "dlt.destinations.duckdb"


def test_listing_destinations_gives_the_declared_ones(write_project: WriteProject) -> None:
    write_project("destinations:\n  warehouse: {type: nowhere.at_all}\n  duckdb: {}\n")

    assert current.entities().list_destinations() == ["warehouse", "duckdb"]


LAKE = """
destinations: {lake: {type: FORMAT, bucket_url: lake}}
datasets: {shop_data: {destination: lake}}
pipelines: {load_items: {destination: lake, dataset_name: shop_data}}
"""
PACKAGES = {"delta": "deltalake", "iceberg": "pyiceberg"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("table_format", ["delta", pytest.param("iceberg", marks=pytest.mark.slow)])
def test_delta_and_iceberg_are_file_systems_with_tables_of_that_format(
    write_project: WriteProject, table_format: Any
) -> None:
    pytest.importorskip(PACKAGES[table_format])
    write_project(LAKE.replace("FORMAT", table_format))
    for value in (1, 2):
        rows = dlt.resource([{"id": 1, "value": value}], name="items", primary_key="id")
        rows.apply_hints(write_disposition={"disposition": "merge", "strategy": "upsert"})
        current.runner().run_pipeline("load_items", data=rows)

    # plain dlt code and dlt's commands attach to the pipeline, and must not read plain files
    for pipeline in (current.entities().get_pipeline("load_items"), dlt.attach("load_items")):
        with pipeline.destination_client() as client:
            table: Any = client.load_open_table(table_format, "items")  # type: ignore[attr-defined]
            read = table.to_pyarrow_table() if table_format == "delta" else table.scan().to_arrow()
            assert read.select(["id", "value"]).to_pylist() == [{"id": 1, "value": 2}]


@pytest.mark.parametrize("table_format", PACKAGES)
def test_error_when_the_package_of_an_open_table_format_is_missing(
    write_project: WriteProject, table_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = PACKAGES[table_format]
    monkeypatch.setitem(sys.modules, package, None)
    write_project(LAKE.replace("FORMAT", table_format))

    with pytest.raises(EntityReferenceError, match=r"destinations.lake: ") as caught:
        current.entities().get_destination("lake")
    assert f'pip install "dlt[{package}]"' in str(caught.value)


def test_destinations_and_adapters_are_imported_from_dlthub() -> None:
    from dlt.destinations import adapters
    from dlthub.destinations import delta, iceberg
    from dlthub.destinations.adapters import iceberg_adapter, postgres_adapter

    assert issubclass(delta, dlt.destinations.filesystem)
    assert issubclass(iceberg, dlt.destinations.filesystem)
    assert iceberg_adapter is adapters.iceberg_adapter
    assert postgres_adapter is adapters.postgres_adapter
