"""`get_dataset`: where a dataset lives, and who may load it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.providers.doc import BaseDocProvider

from dlthub_project import DestinationNotAllowed, EntityNotFound, ManifestError, current
from dlthub_project.context import switched_profile
from dlthub_project.entities import DatasetLocation

WriteProject = Callable[..., Path]

TWO_PLACES = """
    destinations:
      warehouse: {type: duckdb}
      lake: {type: filesystem, bucket_url: "{local_dir}/lake"}
      attic: {type: duckdb}
    datasets:
      shop_data: {destination: [warehouse, lake]}
    pipelines:
      load_orders: {source: orders, destination: lake, dataset_name: shop_data}
      load_misplaced: {source: orders, destination: attic, dataset_name: shop_data}
      load_anything: {source: orders, destination: attic}
"""


def destination_of(dataset: dlt.Dataset) -> str:
    return dataset.destination_client.config.destination_name or ""


def test_the_first_destination_of_a_dataset_is_its_default(write_project: WriteProject) -> None:
    write_project(TWO_PLACES)

    assert destination_of(current.entities().get_dataset("shop_data")) == "warehouse"


def test_a_dataset_is_given_on_any_of_its_destinations(write_project: WriteProject) -> None:
    write_project(TWO_PLACES)
    dataset = current.entities().get_dataset("shop_data", "lake")

    assert (dataset.dataset_name, destination_of(dataset)) == ("shop_data", "lake")


def test_a_dataset_is_refused_on_another_destination(write_project: WriteProject) -> None:
    root = write_project(TWO_PLACES)
    with pytest.raises(DestinationNotAllowed) as caught:
        current.entities().get_dataset("shop_data", "attic")
    message = str(caught.value)

    assert f"{root / 'dlt.yml'}:7:3: datasets.shop_data" in message
    assert "on destination `attic`. Allowed: warehouse, lake." in message
    assert "Add `attic` to datasets.shop_data.destination" in message


def test_a_dataset_restricts_the_pipelines_that_load_it(write_project: WriteProject) -> None:
    write_project(TWO_PLACES)
    entities = current.entities()

    assert entities.get_pipeline("load_orders").destination.destination_name == "lake"
    with pytest.raises(
        DestinationNotAllowed,
        match=r"pipeline `load_misplaced` asks for dataset `shop_data` on destination `attic`",
    ):
        entities.get_pipeline("load_misplaced")


def test_a_dataset_restricts_its_pipelines_also_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project("    project: {allow_undefined_entities: false}\n" + TWO_PLACES.lstrip("\n"))

    with pytest.raises(DestinationNotAllowed):
        current.entities().get_pipeline("load_misplaced")


def test_one_destination_may_be_written_without_a_list(write_project: WriteProject) -> None:
    write_project("datasets:\n  shop_data: {destination: duckdb}\n")
    entities = current.entities()

    assert destination_of(entities.get_dataset("shop_data")) == "duckdb"
    with pytest.raises(DestinationNotAllowed, match="Allowed: duckdb"):
        entities.get_dataset("shop_data", "postgres")


def test_a_dataset_without_destinations_lives_where_its_pipeline_loads_it(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        datasets:
          shop_data: {}
        pipelines:
          load_orders: {source: orders, destination: duckdb, dataset_name: shop_data}
        """
    )

    assert destination_of(current.entities().get_dataset("shop_data")) == "duckdb"


def test_a_dataset_that_a_pipeline_names_needs_no_declaration(
    write_project: WriteProject,
) -> None:
    write_project(TWO_PLACES)
    entities = current.entities()

    assert entities.list_datasets() == ["shop_data", "load_anything_dataset"]
    assert destination_of(entities.get_dataset("load_anything_dataset")) == "attic"


def test_a_dataset_that_nobody_names_is_an_error_with_the_known_ones(
    write_project: WriteProject,
) -> None:
    write_project(TWO_PLACES)
    with pytest.raises(EntityNotFound) as caught:
        current.entities().get_dataset("shop_dat")
    message = str(caught.value)

    assert "Known: load_anything_dataset, shop_data. Did you mean `shop_data`?" in message
    assert "datasets:\n    shop_dat:\n      destination: [" in message


def test_a_dataset_is_made_from_its_name_where_a_destination_is_given(
    write_project: WriteProject,
) -> None:
    write_project("")
    dataset = current.entities().get_dataset("anything", "duckdb")

    assert (dataset.dataset_name, destination_of(dataset)) == ("anything", "duckdb")


def test_an_undeclared_dataset_is_refused_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        destinations:
          warehouse: {type: duckdb}
        pipelines:
          load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
        """
    )
    entities = current.entities()

    assert entities.list_datasets() == []
    with pytest.raises(EntityNotFound) as caught:
        entities.get_pipeline("load_orders")
    assert "no dataset `shop_data`, which pipeline `load_orders` asks for" in str(caught.value)
    assert "datasets:\n    shop_data:\n      destination: [warehouse]" in str(caught.value)


def test_a_destination_that_a_dataset_names_is_refused_where_all_must_be_declared(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        datasets:
          shop_data: {destination: [warehouse]}
        """
    )
    with pytest.raises(
        EntityNotFound, match="no destination `warehouse`, which dataset `shop_data` asks for"
    ):
        current.entities().get_dataset("shop_data")


def test_a_dataset_of_which_nobody_says_where_it_lives_is_an_error(
    write_project: WriteProject,
) -> None:
    root = write_project("datasets:\n  shop_data: {}\n")

    with pytest.raises(EntityNotFound) as caught:
        current.entities().get_dataset("shop_data")
    assert f"{root / 'dlt.yml'}:2:3: datasets.shop_data: nothing says" in str(caught.value)


def test_a_variable_that_is_not_set_is_an_error_of_the_dataset_that_uses_it(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACE_OF_TEST", raising=False)
    write_project(
        """
        datasets:
          shop_data: {destination: ["{env.PLACE_OF_TEST}"]}
          other: {destination: [duckdb]}
        """
    )
    entities = current.entities()

    assert entities.list_datasets() == ["shop_data", "other"]
    assert destination_of(entities.get_dataset("other")) == "duckdb"
    with pytest.raises(ManifestError, match="PLACE_OF_TEST is not set"):
        entities.get_dataset("shop_data")


def test_all_datasets_are_located_at_once_and_each_says_what_is_wrong_with_it(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACE_OF_TEST", raising=False)
    write_project(
        """
        datasets:
          declared: {destination: [warehouse]}
          homeless: {}
          unset: {destination: "{env.PLACE_OF_TEST}"}
        pipelines:
          load_named: {destination: duckdb, dataset_name: named}
          load_default: {destination: duckdb}
        """
    )
    datasets = current.entities().datasets
    located = datasets.locate_all()

    assert list(located) == datasets.names() == current.entities().list_datasets()
    assert located["declared"] == DatasetLocation("declared", "warehouse")
    assert located["named"] == DatasetLocation("named", "duckdb")
    assert located["load_default_dataset"] == DatasetLocation("load_default_dataset", "duckdb")
    assert isinstance(located["homeless"], EntityNotFound)
    assert isinstance(located["unset"], ManifestError)


def test_of_datasets_that_must_be_declared_those_alone_are_located(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        project: {allow_undefined_entities: false}
        datasets:
          declared: {destination: [warehouse]}
        pipelines:
          load_named: {destination: duckdb, dataset_name: named}
        """
    )

    assert list(current.entities().datasets.locate_all()) == ["declared"]
    assert list(current.catalog()) == ["declared"]


def test_listing_asks_for_each_value_of_a_pipeline_once(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = [f"  load_{i}: {{destination: duckdb}}\n" for i in range(20)]
    write_project(f"pipelines:\n{''.join(pipelines)}")
    catalog = current.catalog()
    asked: list[str] = []

    class Vault(BaseDocProvider):
        name = "vault"
        supports_secrets = supports_sections = True

        def __init__(self) -> None:
            super().__init__({"any": "value"})

        def get_value(self, key: str, *arguments: Any) -> tuple[Any, str]:
            asked.append(key)
            return None, key

    dlt.config.register_provider(Vault())
    assert len(repr(catalog).splitlines()) == 20

    # in each place that dlt looks at, and none of them once more for every other pipeline
    assert len(asked) < 20 * 20


def test_a_dataset_that_a_profile_disables_is_not_there_under_it(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED", "false")
    write_project(
        """
        destinations: {warehouse: {type: duckdb}}
        datasets:
          shop_data: {destination: warehouse, enabled: true}
          shared: {destination: warehouse, enabled: "{env.SHARED}"}
        pipelines: {load_items: {destination: warehouse, dataset_name: shop_data}}
        profiles: {access: {datasets: {shop_data: {enabled: false}}}}
        """
    )
    current.runner().run_pipeline("load_items", data=dlt.resource([{"id": 1}], name="items"))
    assert current.entities().list_datasets() == ["shop_data"]
    assert len(current.catalog().shop_data["items"].fetchall()) == 1

    with switched_profile("access"):
        assert list(current.catalog()) == []
        assert "shop_data" not in current.catalog()
        refused = "`shop_data` is disabled under profile `access`"
        with pytest.raises(EntityNotFound, match=refused):
            current.catalog()["shop_data"]
        with pytest.raises(EntityNotFound, match=refused):
            current.runner().run_pipeline("load_items", data=[1])
        assert current.entities().datasets.locate_all() == {}
