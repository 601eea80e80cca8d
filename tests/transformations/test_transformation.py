"""`@transformation`: a function of datasets as a resource."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import dlt
import pandas as pd
import pyarrow as pa
import pytest
from dlt.extract import DltResource

from dlthub_project import WritableDataset, current, transformation


@pytest.fixture
def dataset(shop: Path) -> WritableDataset:
    """The dataset of the shop, after its pipeline has run."""
    current.runner().run_pipeline("load_orders")
    return current.catalog().shop_data


def run(resource: Any) -> dlt.Dataset:
    """Load `resource` through a pipeline into a dataset of its own."""
    pipeline = dlt.pipeline("transform", destination="warehouse", dataset_name="reports")
    pipeline.run(resource)
    return pipeline.dataset()


def test_a_relation_that_is_returned_is_loaded(dataset: WritableDataset) -> None:
    @transformation
    def dear_items(shop: dlt.Dataset) -> Any:
        return shop.table("items").where("price", "gt", 10).select("id", "price")

    reports = run(dear_items(dataset))

    assert sorted(reports["dear_items"].select("id", "price").fetchall()) == [(2, 20), (3, 30)]


def test_relations_that_are_yielded_are_loaded(dataset: WritableDataset) -> None:
    @transformation
    def ends(shop: dlt.Dataset) -> Iterator[Any]:
        yield shop.table("items").where("price", "lt", 20).select("id")
        yield shop("SELECT id FROM items WHERE price > 20")

    assert sorted(run(ends(dataset))["ends"].select("id").fetchall()) == [(1,), (3,)]


def test_frames_tables_and_rows_are_loaded_as_by_any_resource(dataset: WritableDataset) -> None:
    @transformation
    def totals(shop: dlt.Dataset, factor: int) -> Iterator[Any]:
        prices = shop.table("items").df()["price"]
        yield pd.DataFrame({"total": [int(prices.sum()) * factor]})
        yield pa.table({"total": [1]})

    @transformation
    def rows(shop: dlt.Dataset) -> Any:
        return [{"id": id_} for (id_,) in shop.table("items").select("id").fetchall()]

    assert sorted(run(totals(dataset, 2))["totals"].select("total").fetchall()) == [(1,), (120,)]
    assert sorted(run(rows(dataset))["rows"].select("id").fetchall()) == [(1,), (2,), (3,)]


def test_the_decorator_takes_the_arguments_of_a_resource(dataset: WritableDataset) -> None:
    @transformation(
        name="report", table_name="reported", write_disposition="merge", primary_key="id"
    )
    def anything(shop: dlt.Dataset) -> Any:
        return shop.table("items").select("id", "price")

    resource = anything(dataset)
    assert isinstance(resource, DltResource)
    assert resource.name == "report"
    for _ in range(2):
        reports = run(anything(dataset))
    assert len(reports["reported"].fetchall()) == 3


def test_arguments_of_a_transformation_are_configured_as_those_of_a_resource(
    dataset: WritableDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAST", "20")

    @transformation
    def dear_items(shop: dlt.Dataset, least: int = dlt.config.value) -> Any:
        return shop.table("items").where("price", "gte", least).select("id")

    assert sorted(run(dear_items(dataset))["dear_items"].select("id").fetchall()) == [(2,), (3,)]


def test_a_transformation_is_a_resource_of_a_source(dataset: WritableDataset) -> None:
    @transformation
    def dear_items(shop: dlt.Dataset) -> Any:
        return shop.table("items").where("price", "gt", 10).select("id")

    @dlt.source
    def reports() -> Any:
        return dear_items(dataset)

    assert list(reports().resources) == ["dear_items"]
    assert len(run(reports())["dear_items"].fetchall()) == 2


def test_a_transformation_is_saved_to_its_own_dataset(dataset: WritableDataset) -> None:
    @transformation
    def dear_items(shop: WritableDataset) -> Any:
        return shop.table("items").where("price", "gt", 10).select("id")

    dataset.save(dear_items(dataset))

    assert sorted(dataset["dear_items"].select("id").fetchall()) == [(2,), (3,)]


def optional(shop: Optional[dlt.Dataset] = None) -> Any:  # noqa: UP045
    return shop


def union(shop: dlt.Dataset | None = None) -> Any:
    return shop


def two(limit: int, first: dlt.Dataset, second: WritableDataset) -> Any:
    return first


@pytest.mark.parametrize("function", [optional, union, two])
def test_a_dataset_argument_may_be_annotated_in_any_way(function: Any) -> None:
    assert transformation(function).name == function.__name__


def test_annotations_that_only_type_checkers_can_read_may_name_a_dataset() -> None:
    def report(shop: dlt.Dataset, when: Unknown) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return shop

    assert transformation(report).name == "report"


def no_argument() -> dlt.Dataset:
    raise NotImplementedError


def no_annotation(shop) -> Any:  # type: ignore[no-untyped-def]
    return []


def another_type(shop: str, other: Unknown) -> Any:  # type: ignore[name-defined]  # noqa: F821
    return []


@pytest.mark.parametrize("function", [no_argument, no_annotation, another_type])
def test_a_function_without_a_dataset_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=f"no argument of {function.__name__} is annotated as"):
        transformation(function)
