"""What `save` takes beyond lists of dicts: the kinds of data, and those that it refuses."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from one_item import with_one_item

from dlthub_project import ProjectError, WritableDataset, current

ROWS = [{"name": "Ada", "age": 36}, {"name": "Grace", "age": 85}]


@pytest.fixture
def dataset(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> WritableDataset:
    return with_one_item(tmp_path_factory.getbasetemp())


def rows(table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table as they are at the destination, through a new handle."""
    return sorted(current.catalog().shop_data.table(table).select(*columns).fetchall())


class Stream:
    """What another library's frame looks like: it gives a stream of Arrow batches."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return pa.Table.from_pylist(ROWS).__arrow_c_stream__(requested_schema)


class Array:
    """One that gives a single batch."""

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return pa.RecordBatch.from_pylist(ROWS).__arrow_c_array__(requested_schema)


def files() -> Any:
    pa.dataset.write_dataset(pa.Table.from_pylist(ROWS), "people_files", format="parquet")
    return pa.dataset.dataset("people_files")


def all_in_one() -> Iterator[Any]:
    yield pd.DataFrame(ROWS[:1])
    yield pl.DataFrame(ROWS[1:])
    yield {"name": "Alan", "age": 41}
    yield Array()


KINDS: dict[str, Callable[[], Any]] = {
    "polars frame": lambda: pl.DataFrame(ROWS),
    "lazy polars frame": lambda: pl.DataFrame(ROWS).lazy(),
    "list of polars frames": lambda: [pl.DataFrame(ROWS[:1]), pl.DataFrame(ROWS[1:])],
    "polars frames of a generator function": lambda: lambda: iter([pl.DataFrame(ROWS)]),
    "Arrow stream": Stream,
    "Arrow array": Array,
    "pyarrow array of structs": lambda: pa.array(ROWS),
    "dataset of files": files,
    "scanner of files": lambda: files().scanner(batch_size=1),
    "function with its arguments": lambda: functools.partial(pd.DataFrame, ROWS),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS.keys())
def test_data_of_any_library_are_saved(dataset: WritableDataset, data: Callable[[], Any]) -> None:
    dataset.save(data(), table_name="people")

    assert rows("people", "name", "age") == [("Ada", 36), ("Grace", 85)]


def test_one_save_takes_frames_of_several_libraries_and_dicts(dataset: WritableDataset) -> None:
    dataset.save(all_in_one, table_name="people")

    assert rows("people", "name") == [("Ada",), ("Ada",), ("Alan",), ("Grace",), ("Grace",)]


@pytest.mark.parametrize(
    ("data", "column"),
    [
        (pd.Series([36, 85], name="age"), "age"),
        (pl.Series("age", [36, 85]), "age"),
        (pa.chunked_array([[36], [85]]), "value"),
    ],
    ids=["pandas", "polars", "pyarrow"],
)
def test_a_series_is_a_table_of_one_column(
    dataset: WritableDataset, data: Any, column: str
) -> None:
    dataset.save(data, table_name="ages")

    assert rows("ages", column) == [(36,), (85,)]


def test_named_indexes_of_a_frame_become_columns_and_others_are_dropped(
    dataset: WritableDataset,
) -> None:
    by_city = pd.DataFrame({"city": ["Rome", "Rome"], "price": [1, 2]}).groupby("city").sum()
    dataset.save(by_city, table_name="by_city")
    dataset.save(by_city.rename_axis(None), table_name="without_name")

    assert rows("by_city", "city", "price") == [("Rome", 3)]
    assert [c for c in dataset.without_name.columns if not c.startswith("_dlt")] == ["price"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"id": pd.Series([], dtype="int64")}),
        pl.DataFrame(schema={"id": pl.Int64}),
        pa.schema({"id": pa.int64()}).empty_table(),
        pa.schema({"id": pa.int64()}).empty_table().to_reader(),
    ],
    ids=["pandas", "polars", "pyarrow", "reader"],
)
def test_an_empty_frame_makes_its_table(dataset: WritableDataset, data: Any) -> None:
    dataset.save(data, table_name="nothing")

    assert rows("nothing", "id") == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("data", [[], iter(()), [None]], ids=["list", "iterator", "None in a list"])
def test_no_rows_make_no_table_and_empty_one_that_is_replaced(
    dataset: WritableDataset, data: Any
) -> None:
    data = list(data)
    dataset.save(data, table_name="nothing")
    assert "nothing" not in dataset.tables

    dataset.save(data, table_name="items", write_disposition="replace")
    assert rows("items", "id") == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "no data of type NoneType"),
        ("people.csv", "no data of type str"),
        (Path("people.csv"), "no data of type"),
        (io.StringIO("name"), "no data of type StringIO"),
        (7, "no data of type int"),
        (object(), "no data of type object"),
        (np.array([1, 2]), "no data of type ndarray"),
        (pd.DataFrame, "no class, such as DataFrame"),
        ({"people": pd.DataFrame(ROWS)}, "a dict as one row, and this one holds frames"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_what_is_no_data_is_an_error_that_says_what_is_accepted(
    dataset: WritableDataset, data: Any, message: str
) -> None:
    with pytest.raises(ProjectError, match=message) as caught:
        dataset.save(data, table_name="people")

    assert "Give a pandas or polars frame, Arrow data, a dict, a list" in str(caught.value)
    assert "people" not in current.catalog().shop_data.tables


def test_a_whole_dataset_is_no_data(dataset: WritableDataset) -> None:
    with pytest.raises(ProjectError, match=r'such as dataset\.table\("my_table"\)'):
        dataset.save(current.catalog().shop_data, table_name="copy")


def test_a_function_that_needs_arguments_is_refused_before_it_is_called(
    dataset: WritableDataset,
) -> None:
    def people(country: str) -> Iterator[dict[str, str]]:
        yield {"country": country}

    with pytest.raises(ProjectError, match="calls people without arguments") as caught:
        dataset.save(people, table_name="people")
    assert "missing a required argument: 'country'" in str(caught.value)
    dataset.save(functools.partial(people, "Italy"), table_name="people")
    assert rows("people", "country") == [("Italy",)]


def test_a_resource_that_waits_for_configuration_is_left_to_dlt(
    dataset: WritableDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dlt.resource(section="shops", name="people")
    def people(country: str = dlt.config.value) -> Iterator[dict[str, str]]:
        yield {"country": country}

    monkeypatch.setenv("SOURCES__SHOPS__PEOPLE__COUNTRY", "Italy")
    dataset.save(people)

    assert rows("people", "country") == [("Italy",)]
