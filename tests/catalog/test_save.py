"""`dataset.save(...)`: writing back to a dataset."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dlt
import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import ProjectError, WritableDataset, current

WriteProject = Callable[..., Path]

ROWS = [{"name": "Ada", "age": 36}, {"name": "Grace", "age": 85}]


@pytest.fixture
def loaded(shop: Path) -> WritableDataset:
    """The dataset of the shop, after its pipeline has run."""
    current.runner().run_pipeline("load_orders", resources=["items"])
    return current.catalog().shop_data


@pytest.fixture
def dataset(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> WritableDataset:
    """The same for tests without the pipeline: but for the first, a copy of the database."""
    template = tmp_path_factory.getbasetemp() / "shop_data.duckdb"
    database = Path(current.context().local_dir, "warehouse.duckdb")
    if template.exists():
        shutil.copy(template, database)
    else:
        current.runner().run_pipeline("load_orders", resources=["items"])
        shutil.copy(database, template)
    return current.catalog().shop_data


def rows(table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table as they are at the destination, through a new handle."""
    relation = current.catalog().shop_data.table(table)
    return sorted(relation.select(*columns).fetchall())


def frames() -> Iterator[pd.DataFrame]:
    yield pd.DataFrame(ROWS[:1])
    yield pd.DataFrame(ROWS[1:])


@dlt.resource(name="people")
def people() -> Iterator[dict[str, object]]:
    yield from ROWS


@dlt.source
def staff() -> Any:
    return people


class Person(NamedTuple):
    name: str
    age: int


async def awaited() -> AsyncIterator[dict[str, object]]:
    for row in ROWS:
        yield row


SAVED: dict[str, Callable[[], Any]] = {
    "frame": lambda: pd.DataFrame(ROWS),
    "arrow table": lambda: pa.Table.from_pylist(ROWS),
    "arrow batch": lambda: pa.RecordBatch.from_pylist(ROWS),
    "arrow reader": lambda: pa.Table.from_pylist(ROWS).to_reader(),
    "DuckDB relation": lambda: duckdb.sql(
        "SELECT * FROM (VALUES ('Ada', 36), ('Grace', 85)) AS t(name, age)"
    ),
    "DuckDB relation in a list": lambda: [
        duckdb.sql("SELECT 'Ada' AS name, 36 AS age"),
        duckdb.sql("SELECT 'Grace' AS name, 85 AS age"),
    ],
    "DuckDB relations of a generator function": lambda: (
        lambda: (duckdb.sql(f"SELECT '{row['name']}' AS name, {row['age']} AS age") for row in ROWS)
    ),
    "list of dicts": lambda: list(ROWS),
    "list of frames": lambda: list(frames()),
    "iterator of dicts": lambda: iter(ROWS),
    "iterator of frames": frames,
    "list of named tuples": lambda: [Person(**row) for row in ROWS],  # type: ignore[arg-type]
    "values of a dict": lambda: {row["name"]: row for row in ROWS}.values(),
    "generator function": lambda: frames,
    "asynchronous generator function": lambda: awaited,
    "resource": lambda: people,
    "source": staff,
    "source factory": lambda: staff,
    "resource in another table": lambda: people.with_name("others"),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("data", SAVED.values(), ids=SAVED.keys())
def test_data_of_any_shape_are_saved(dataset: WritableDataset, data: Callable[[], Any]) -> None:
    info = dataset.save(data(), table_name="people")

    assert rows("people", "name", "age") == [("Ada", 36), ("Grace", 85)]
    assert (info.dataset_name, info.destination_name) == ("shop_data", "warehouse")
    assert dataset.table("people").select("age").fetchall()


def test_one_row_is_saved(dataset: WritableDataset) -> None:
    dataset.save(ROWS[0], table_name="people")

    assert rows("people", "name", "age") == [("Ada", 36)]


def test_plain_values_are_saved_as_by_dlt(dataset: WritableDataset) -> None:
    dataset.save([1, 2], table_name="numbers")

    assert rows("numbers", "value") == [(1,), (2,)]


def test_a_relation_is_saved(dataset: WritableDataset) -> None:
    dataset.save(dataset.table("items").where("price", "gt", 10), table_name="dear_items")

    assert rows("dear_items", "id", "price") == [(2, 20), (3, 30)]


def test_relations_of_a_generator_function_are_saved(dataset: WritableDataset) -> None:
    def dear_and_cheap() -> Iterator[dlt.Relation]:
        yield dataset.table("items").where("price", "gt", 20)
        yield dataset.table("items").where("price", "lt", 20)

    dataset.save(dear_and_cheap, table_name="some_items")

    assert rows("some_items", "id") == [(1,), (3,)]


def test_chunks_that_are_read_from_the_dataset_are_saved_to_it(dataset: WritableDataset) -> None:
    def halved() -> Iterator[pd.DataFrame]:
        for frame in dataset.table("items").iter_df(chunk_size=1000):
            yield frame[["id", "price"]].assign(price=frame["price"] // 2)

    dataset.save(halved, table_name="half_price")

    assert rows("half_price", "id", "price") == [(1, 5), (2, 10), (3, 15)]


def test_a_table_is_saved_into_itself(dataset: WritableDataset) -> None:
    def dearer() -> Iterator[pa.Table]:
        for chunk in dataset.table("items").select("id", "price").iter_arrow(chunk_size=1000):
            yield pa.table(
                {"id": chunk["id"], "price": [int(p.as_py()) + 1 for p in chunk["price"]]}
            )

    dataset.save(dearer, table_name="items", write_disposition="replace")
    assert rows("items", "id", "price") == [(1, 11), (2, 21), (3, 31)]

    dataset.save(dataset.table("items"), table_name="items")
    assert len(rows("items", "id")) == 6


@pytest.mark.sampled(1)
@pytest.mark.parametrize("frame_first", [True, False])
def test_a_table_takes_frames_and_dicts_alike(dataset: WritableDataset, frame_first: bool) -> None:
    saves = [pd.DataFrame(ROWS[:1]), ROWS[1:]]
    for data in saves if frame_first else reversed(saves):
        dataset.save(data, table_name="people")

    assert rows("people", "name", "age") == [("Ada", 36), ("Grace", 85)]
    assert all(id_ and load for id_, load in rows("people", "_dlt_id", "_dlt_load_id"))


def test_a_table_of_a_pipeline_takes_frames_too(dataset: WritableDataset) -> None:
    dataset.save(pd.DataFrame({"id": [4], "price": [40]}), table_name="items")

    assert rows("items", "id", "price") == [(1, 10), (2, 20), (3, 30), (4, 40)]


def test_nested_rows_are_saved_to_nested_tables(dataset: WritableDataset) -> None:
    dataset.save([{"name": "Ada", "emails": [{"address": "a"}, {"address": "b"}]}], "people")

    assert rows("people__emails", "address") == [("a",), ("b",)]


def test_rows_are_appended_replaced_or_merged(dataset: WritableDataset) -> None:
    dataset.save(ROWS, table_name="people")
    dataset.save(ROWS, table_name="people")
    assert len(rows("people", "name")) == 4

    dataset.save(ROWS[:1], table_name="people", write_disposition="replace")
    assert rows("people", "name") == [("Ada",)]

    dataset.save(
        [{"name": "Ada", "age": 37}, {"name": "Alan", "age": 41}],
        table_name="people",
        write_disposition="merge",
        primary_key="name",
    )
    assert rows("people", "name", "age") == [("Ada", 37), ("Alan", 41)]


def test_columns_give_types(dataset: WritableDataset) -> None:
    dataset.save(ROWS, table_name="people", columns={"age": {"data_type": "text"}})

    assert rows("people", "age") == [("36",), ("85",)]


def test_further_arguments_are_those_of_a_run(dataset: WritableDataset) -> None:
    info = dataset.save(ROWS, table_name="people", loader_file_format="parquet")
    jobs = info.load_packages[0].jobs["completed_jobs"]

    assert "parquet" in {job.job_file_info.file_format for job in jobs}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("data", "table"),
    [
        (lambda: people, "people"),
        (lambda: people.with_name("renamed").apply_hints(table_name="persons"), "persons"),
        (lambda: frames, "frames"),
        (staff, "people"),
    ],
    ids=["resource", "resource with a table", "generator function", "source"],
)
def test_data_that_name_their_table_need_no_name(
    dataset: WritableDataset, data: Callable[[], Any], table: str
) -> None:
    dataset.save(data())

    assert rows(table, "name") == [("Ada",), ("Grace",)]


def test_a_relation_of_one_table_needs_a_name(dataset: WritableDataset) -> None:
    with pytest.raises(ProjectError, match="data of type Relation have none"):
        dataset.save(dataset.table("items"))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "data",
    [pd.DataFrame(ROWS), ROWS, frames(), lambda: ROWS],
    ids=["frame", "list", "iterator", "lambda"],
)
def test_data_that_name_no_table_need_a_name(dataset: WritableDataset, data: Any) -> None:
    with pytest.raises(ProjectError, match="needs the name of a table") as caught:
        dataset.save(data)

    assert 'dataset.save(data, table_name="my_table")' in str(caught.value)
    assert sorted(current.catalog().shop_data.tables) == sorted(dataset.tables)


def test_a_saved_table_is_seen_at_once_by_the_handle_that_saved_it(
    dataset: WritableDataset,
) -> None:
    dataset.save(ROWS, table_name="people")

    assert "people" in dataset.tables
    assert len(dataset.people.df()) == 2
    assert dict(dataset.row_counts().fetchall())["people"] == 2


def test_a_saved_table_stays_visible_after_the_pipeline_evolves_its_schema(
    loaded: WritableDataset,
) -> None:
    loaded.save(ROWS, table_name="people")
    loaded.save([{"id": 9, "note": "saved"}], table_name="items")
    # the pipeline knows neither the table nor the column: its folder has the schema from before
    current.runner().run_pipeline(
        "load_orders", data=[{"id": 10, "colour": "red"}], table_name="items"
    )
    current.runner().run_pipeline("load_orders", resources=["customers"])

    assert rows("people", "name", "age") == [("Ada", 36), ("Grace", 85)]
    assert rows("items", "id", "note", "colour")[-2:] == [(9, "saved", None), (10, None, "red")]
    assert rows("customers", "name") == [("Ada",)]


def test_a_saved_table_that_was_dropped_is_not_listed(loaded: WritableDataset) -> None:
    loaded.save(ROWS, table_name="people")
    with loaded.sql_client as client:
        client.execute_sql("DROP TABLE people")
    current.runner().run_pipeline("load_orders", resources=["customers"])

    assert "people" not in current.catalog().shop_data.tables
    assert "customers" in current.catalog().shop_data.tables


def test_the_pipeline_goes_on_after_a_save_into_its_table(loaded: WritableDataset) -> None:
    loaded.save([{"id": 9, "price": 90}], table_name="items")
    current.runner().run_pipeline("load_orders", resources=["items"])

    assert len(rows("items", "id")) == 7


def test_a_save_goes_into_the_schema_that_has_the_table(shop: Path) -> None:
    current.runner().run_pipeline("load_orders", resources=["items"])
    other = dlt.pipeline("by_hand", destination="warehouse", dataset_name="shop_data")
    other.run([{"id": 1}], table_name="staff")
    dataset = current.catalog().shop_data
    dataset.save([{"id": 2}], table_name="staff")
    dataset.save([{"id": 1}], table_name="visitors")

    tables = {schema.name: schema.data_table_names() for schema in dataset.schemas}
    assert tables == {"orders": ["items", "visitors"], "by_hand": ["staff"]}
    assert rows("staff", "id") == [(1,), (2,)]


def fail() -> Iterator[dict[str, object]]:
    yield ROWS[0]
    raise ConnectionError("the shop is closed")


def test_a_save_that_fails_leaves_the_data_as_they_were_and_is_not_replayed(
    dataset: WritableDataset,
) -> None:
    dataset.save([{"name": "Alan", "age": 41}], table_name="people")
    with pytest.raises(PipelineStepFailed, match="the shop is closed"):
        dataset.save(fail, table_name="people")
    assert rows("people", "name") == [("Alan",)]
    dataset.save(ROWS, table_name="people")

    assert rows("people", "name") == [("Ada",), ("Alan",), ("Grace",)]


def test_a_save_that_fails_while_loading_is_not_replayed_either(dataset: WritableDataset) -> None:
    dataset.save([{"id": 1}], table_name="people", columns={"id": {"data_type": "bigint"}})
    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save(
            [{"id": 2, "share": 12345}],
            table_name="people",
            columns={"share": {"data_type": "decimal", "precision": 2, "scale": 0}},
        )
    assert caught.value.step == "load"
    assert rows("people", "id") == [(1,)]
    dataset.save([{"id": 3}], table_name="people")

    assert rows("people", "id") == [(1,), (3,)]


def test_a_save_that_fails_shows_its_own_error_where_the_destination_is_gone(
    dataset: WritableDataset, shop: Path
) -> None:
    (shop / "_data" / "dev" / "local" / "warehouse.duckdb").unlink()
    (shop / "_data" / "dev" / "local" / "warehouse.duckdb").mkdir()

    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save(ROWS, table_name="people")
    assert caught.value.step == "sync"


CONTRACT = """
    sources:
      orders: {type: shop.orders}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      shop_data:
        destination: [warehouse]
        contract: {contract}
    pipelines:
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
"""


def under_contract(write_project: WriteProject, contract: str) -> WritableDataset:
    write_project(CONTRACT.replace("{contract}", contract))
    current.runner().run_pipeline(
        "load_orders", data=[{"id": 1}], table_name="items", schema_contract="evolve"
    )
    return current.catalog().shop_data


def breach(error: BaseException | None) -> DataValidationError:
    while error is not None and not isinstance(error, DataValidationError):
        error = error.__cause__ or error.__context__
    assert isinstance(error, DataValidationError)
    return error


@pytest.mark.parametrize(
    "data",
    [[{"id": 2, "note": "new"}], pd.DataFrame({"id": [2], "note": ["new"]})],
    ids=["dicts", "frame"],
)
def test_a_frozen_column_raises_and_nothing_is_written(
    write_project: WriteProject, data: Any
) -> None:
    dataset = under_contract(write_project, "{columns: freeze}")

    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save(data, table_name="items")
    error = breach(caught.value)
    assert (error.table_name, error.column_name) == ("items", "note")
    assert rows("items", "id") == [(1,)]
    assert "note" not in current.catalog().shop_data.schema.tables["items"]["columns"]


@pytest.mark.parametrize("contract", ["freeze", "{tables: freeze}"])
def test_a_frozen_table_raises_and_nothing_is_written(
    write_project: WriteProject, contract: str
) -> None:
    dataset = under_contract(write_project, contract)

    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save(ROWS, table_name="people")
    assert breach(caught.value).table_name == "people"
    assert "people" not in current.catalog().shop_data.tables
    dataset.save([{"id": 2}], table_name="items")
    assert rows("items", "id") == [(1,), (2,)]


def test_a_contract_given_for_a_save_replaces_that_of_the_dataset(
    write_project: WriteProject,
) -> None:
    dataset = under_contract(write_project, "freeze")
    dataset.save(ROWS, table_name="people", schema_contract="evolve")

    assert rows("people", "name") == [("Ada",), ("Grace",)]
    with pytest.raises(PipelineStepFailed):
        dataset.save(ROWS, table_name="others")


def test_the_contract_of_the_active_profile_holds(write_project: WriteProject) -> None:
    write_project(
        CONTRACT.replace("{contract}", "freeze")
        + "    profiles:\n      tests: {datasets: {shop_data: {contract: evolve}}}\n"
    )
    current.context().switch_profile("tests")
    current.runner().run_pipeline("load_orders", data=[{"id": 1}], table_name="items")
    current.catalog().shop_data.save(ROWS, table_name="people")

    assert rows("people", "name") == [("Ada",), ("Grace",)]


def test_a_save_leaves_the_active_pipeline_and_no_folder_behind(
    dataset: WritableDataset, shop: Path
) -> None:
    mine = dlt.pipeline("mine", destination="duckdb")
    before = sorted(path for path in shop.rglob("*") if "__pycache__" not in path.parts)
    dataset.save(ROWS, table_name="people")
    with pytest.raises(PipelineStepFailed):
        dataset.save(fail, table_name="people")

    assert dlt.current.pipeline() is mine
    assert sorted(path for path in shop.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_save_is_told_of_by_what_it_returns(dataset: WritableDataset) -> None:
    info = dataset.save(ROWS, table_name="people")

    assert "save_people_pipeline" in str(info)
    assert len(info.loads_ids) == 1
    assert not info.has_failed_jobs


def test_a_dataset_is_saved_to_on_the_destination_that_it_was_opened_on(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        datasets:
          shop_data: {destination: [first, second]}
        destinations:
          first: {type: duckdb}
          second: {type: duckdb}
        pipelines:
          load_first: {destination: first, dataset_name: shop_data}
          load_second: {destination: second, dataset_name: shop_data}
        """
    )
    for name in ("load_first", "load_second"):
        current.runner().run_pipeline(name, data=[{"id": 1}], table_name="items")
    second = current.catalog().dataset("shop_data", "second")
    second.save(current.catalog().shop_data.table("items"), table_name="items_of_first")

    assert second.items_of_first.select("id").fetchall() == [(1,)]
    assert "items_of_first" not in current.catalog().shop_data.tables


def test_a_dataset_of_files_is_saved_to(write_project: WriteProject) -> None:
    write_project(
        """
        destinations:
          lake: {type: filesystem, bucket_url: "{local_dir}/lake"}
        pipelines:
          load_orders: {destination: lake, dataset_name: shop_data}
        """
    )
    current.runner().run_pipeline("load_orders", data=[{"id": 1}], table_name="items")
    current.catalog().shop_data.save(ROWS, table_name="people")

    assert rows("people", "name", "age") == [("Ada", 36), ("Grace", 85)]
    assert rows("items", "id") == [(1,)]


def test_any_name_of_a_table_is_normalized_as_by_dlt(dataset: WritableDataset) -> None:
    dataset.save(ROWS, table_name="My/People")
    info = dataset.save(ROWS[:1], table_name="My People", write_disposition="replace")

    assert rows("my_people", "name") == [("Ada",)]
    assert info.pipeline.pipeline_name == "save_my_people_pipeline"


def test_a_dataset_is_saved_to_while_it_is_held_open(dataset: WritableDataset) -> None:
    with dataset:
        dataset.save(ROWS, table_name="people")
        assert len(dataset.people.fetchall()) == 2

    assert rows("people", "name") == [("Ada",), ("Grace",)]


def test_saved_data_are_read_by_plain_dlt_too(dataset: WritableDataset) -> None:
    dataset.save(ROWS, table_name="people")
    plain = current.entities().get_dataset("shop_data")

    assert len(plain["people"].fetchall()) == 2
