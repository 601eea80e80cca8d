"""Reading a dataset of the catalog: as any of dlt's, in chunks, and wherever it is taken to."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.exceptions import DatabaseException
from dlt.pipeline.exceptions import PipelineStepFailed
from one_item import with_one_item

from dlthub_project import DatasetNotLoaded, WritableDataset, current

WriteProject = Callable[..., Path]

PLACES = {
    # a limit that a table in memory would not keep to
    "duckdb": """{type: duckdb, credentials: {database: shop.duckdb,
                 global_config: {memory_limit: 150MB, threads: 1}}}""",
    "filesystem": "{type: filesystem, bucket_url: lake}",
    "postgres": "{{type: postgres, credentials: '{url}'}}",
}
MANIFEST = """
    destinations:
      warehouse: {place}
    datasets:
      {name}: {{destination: warehouse}}
    pipelines:
      load_orders: {{destination: warehouse, dataset_name: {name}}}
"""
# of a process of its own: the highest memory of this one is that of the tests before
READING = """
import sys
import pyarrow as pa
from dlthub_project import current

name, rows, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def pages():
    for start in range(0, rows, 50_000):
        ids = range(start, start + 50_000)
        yield pa.table({"id": ids, "text": [f"{i:0>200}" for i in ids]})


def highest(reset=False):
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def without_dlt_columns():
    for chunk in dataset.table("items").iter_arrow(chunk_size=20_000):
        yield chunk.select(["id", "text"])


current.runner().run_pipeline("load_orders", data=pages, table_name="items")
dataset = current.catalog()[name]
dataset.table("items").limit(1).df()
before, found = highest(reset=True), 0
if way == "save":
    dataset.save(without_dlt_columns, table_name="copied")
    found = dataset("SELECT count(*) FROM copied").fetchall()[0][0]
else:
    for chunk in getattr(dataset.table("items"), way)(chunk_size=20_000):
        found += len(chunk)
assert found == rows, found
print(highest() - before)
"""


@pytest.fixture
def dataset(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> WritableDataset:
    return with_one_item(tmp_path_factory.getbasetemp())


def drop(url: str, dataset: str) -> None:
    import psycopg2

    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for schema in (dataset, f"{dataset}_staging"):
            cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    connection.close()


def megabytes(kind: str, write_project: WriteProject, rows: int, way: str, url: str = "") -> float:
    """Return how many MB more than before a process needs that reads `rows` of 200 bytes."""
    name = f"flat_{uuid.uuid4().hex[:8]}"
    place = PLACES[kind].format(url=url) if url else PLACES[kind]
    root = write_project(MANIFEST.format(place=place, name=name))
    done = subprocess.run(
        [sys.executable, "-c", READING, name, str(rows), way],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if url:
        drop(url, name)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


pytestmark_linux = pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")


@pytest.mark.slow
@pytestmark_linux
def test_chunks_need_no_more_memory_than_is_allowed(write_project: WriteProject) -> None:
    # 400,000 rows are 80 MB and more; 1,000,000 of the slow tests 200 MB
    assert megabytes("filesystem", write_project, 400_000, "iter_arrow") < 60


@pytestmark_linux
@pytest.mark.slow
@pytest.mark.parametrize("way", ["iter_df", "iter_arrow", "save"])
@pytest.mark.parametrize("kind", ["duckdb", "filesystem"])
def test_a_table_larger_than_memory_is_read_and_saved_in_chunks(
    write_project: WriteProject, kind: str, way: str
) -> None:
    # DuckDB itself may use 150 MB
    assert megabytes(kind, write_project, 3_000_000, way) < 450


@pytestmark_linux
@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("way", ["iter_df", "iter_arrow"])
def test_a_table_of_postgres_is_left_on_the_server(
    write_project: WriteProject, postgres_url: str, way: str
) -> None:
    # psycopg2 alone receives all: 400 MB
    assert megabytes("postgres", write_project, 1_000_000, way, postgres_url) < 100


@pytest.fixture
def on_postgres(write_project: WriteProject, postgres_url: str) -> Iterator[WritableDataset]:
    """A dataset on PostgreSQL with three rows in `items`; dropped after the test."""
    name = f"read_{uuid.uuid4().hex[:8]}"
    place = PLACES["postgres"].format(url=postgres_url)
    write_project(MANIFEST.format(place=place, name=name))
    current.runner().run_pipeline(
        "load_orders", data=[{"id": 1}, {"id": 2}, {"id": 3}], table_name="items"
    )
    yield current.catalog()[name]
    drop(postgres_url, name)


@pytest.mark.postgres
def test_postgres_answers_in_chunks_at_once_and_in_part(on_postgres: WritableDataset) -> None:
    items = on_postgres.table("items").select("id")

    assert [chunk.num_rows for chunk in items.iter_arrow(chunk_size=2)] == [2, 1]
    assert [list(frame["id"]) for frame in items.iter_df(chunk_size=2)] == [[1, 2], [3]]
    assert list(items.iter_fetch(chunk_size=2)) == [[(1,), (2,)], [(3,)]]
    assert items.fetchall() == [(1,), (2,), (3,)]
    assert items.fetchone() == (1,)
    assert items.arrow(chunk_size=2).num_rows == 2
    raw = on_postgres("SELECT id AS n FROM items", _execute_raw_query=True)
    assert [chunk.to_pydict() for chunk in raw.iter_arrow(chunk_size=2)] == [
        {"n": [1, 2]},
        {"n": [3]},
    ]


@pytest.mark.postgres
def test_reading_postgres_in_chunks_locks_nothing(on_postgres: WritableDataset) -> None:
    for chunk in on_postgres.table("items").select("id").iter_df(chunk_size=2):
        # replaces and alters the table that is being read
        on_postgres.save(
            [{"id": int(chunk["id"].max()), "note": "seen"}],
            table_name="items",
            write_disposition="replace",
        )

    assert on_postgres.table("items").select("id", "note").fetchall() == [(3, "seen")]


@pytest.mark.postgres
def test_statements_for_postgres_are_executed_and_their_errors_are_of_dlt(
    on_postgres: WritableDataset,
) -> None:
    with on_postgres.sql_client as client:
        client.execute_sql("DELETE FROM items WHERE id = 1")
        with client.execute_query("DELETE FROM items WHERE id = 2"):
            pass
    assert on_postgres.table("items").select("id").fetchall() == [(3,)]
    wrong = on_postgres("SELECT 1 / (id - id) FROM items", _execute_raw_query=True)
    with pytest.raises(DatabaseException, match="division by zero"):
        list(wrong.iter_arrow(chunk_size=2))
    assert on_postgres.table("items").select("id").fetchall() == [(3,)]


def test_a_dataset_travels_also_after_it_was_read(dataset: WritableDataset) -> None:
    assert dataset.items.select("id").fetchall() == [(1,)]
    with dataset:
        arrived = pickle.loads(pickle.dumps(dataset))

    for other in (arrived, copy.copy(dataset), copy.deepcopy(dataset)):
        assert other.items.select("id").fetchall() == [(1,)]
        assert other.tables == dataset.tables
    arrived.save([{"id": 2}], table_name="items")
    assert len(dataset.items.fetchall()) == 2


def test_a_block_keeps_the_connection_and_ends_with_it(dataset: WritableDataset) -> None:
    with dataset as opened:
        assert opened is dataset
        assert dataset.sql_client.native_connection is not None
        assert dataset.items.select("id").fetchall() == [(1,)]
        assert dataset.sql_client.native_connection is not None

    assert dataset.sql_client.native_connection is None
    assert dataset.items.select("id").fetchall() == [(1,)]


def test_a_dataset_that_was_read_does_not_hold_its_file(
    dataset: WritableDataset, run_python: Callable[..., str]
) -> None:
    assert dataset.items.fetchall()
    run_python(
        """
        from dlthub_project import current

        current.catalog().shop_data.save([{"id": 2, "note": "evolved"}], table_name="items")
        """,
        Path.cwd(),
    )

    # a handle keeps the schema that it was opened with; the catalog opens another one each time
    assert "note" not in dataset.items.columns
    assert len(dataset.items.fetchall()) == 2
    assert current.catalog().shop_data.items.select("id", "note").fetchall() == [
        (1, None),
        (2, "evolved"),
    ]


def test_the_schema_of_a_dataset_has_the_hints_of_its_tables(dataset: WritableDataset) -> None:
    dataset.save([{"id": 1}], table_name="people", primary_key="id")

    assert set(dataset.tables) >= {"items", "people", "_dlt_loads"}
    assert dataset.schema.tables["people"]["columns"]["id"]["primary_key"] is True
    assert "shop_data" in str(dataset)
    assert "shop_data" in repr(dataset)
    assert dataset._ipython_key_completions_() == dataset.tables


def test_ibis_reads_what_the_catalog_gives(dataset: WritableDataset) -> None:
    items = dataset.items.to_ibis()

    assert items.select("id").limit(3).to_pyarrow().to_pylist() == [{"id": 1}]
    assert dataset.table("items").where("id", "gt", 1).to_ibis().count().to_pyarrow().as_py() == 0
    assert dataset(items.select("id")).fetchall() == [(1,)]
    connection = dataset.ibis(read_only=True)
    assert connection.table("items").id.max().to_pyarrow().as_py() == 1
    connection.disconnect()


def test_ibis_that_is_not_installed_is_dlts_own_error(
    dataset: WritableDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ibis", None)
    monkeypatch.delitem(sys.modules, "dlt.helpers.ibis", raising=False)

    with pytest.raises(MissingDependencyException, match="ibis"):
        dataset.ibis()


def test_a_dataset_with_another_naming_convention_is_read(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(
        """
        destinations: {warehouse: {type: duckdb}}
        pipelines: {load_orders: {destination: warehouse, dataset_name: shop_data}}
        """
    )
    pipeline = current.entities().get_pipeline("load_orders")
    monkeypatch.setenv("SCHEMA__NAMING", "sql_ci_v1")
    pipeline.run([{"UnitPrice": 1}], table_name="OrderItems")
    monkeypatch.delenv("SCHEMA__NAMING")
    dataset = current.catalog().shop_data

    [name] = set(dataset.tables) & {"OrderItems", "orderitems"}
    assert dataset.table(name).df().shape[0] == 1


def test_a_folder_in_the_place_of_a_dataset_is_not_one(write_project: WriteProject) -> None:
    root = write_project(
        MANIFEST.format(place=PLACES["filesystem"], name="shop_data").replace("{{", "{")
    )
    (root / "_data" / "dev" / "local" / "lake" / "shop_data").mkdir(parents=True)

    with pytest.raises(DatasetNotLoaded):
        _ = current.catalog().dataset("shop_data").tables


def test_a_schema_without_the_tables_of_dlt_is_not_a_dataset(dataset: WritableDataset) -> None:
    with dataset.sql_client as client:
        client.execute_sql("DROP TABLE _dlt_version")

    with pytest.raises(DatasetNotLoaded):
        _ = current.catalog().shop_data.tables


def test_a_relation_of_a_dropped_table_is_dlts_own_error(dataset: WritableDataset) -> None:
    with dataset.sql_client as client:
        client.execute_sql("DROP TABLE items")

    with pytest.raises(DatabaseException):
        dataset.items.fetchall()
    with pytest.raises(PipelineStepFailed):
        dataset.save(lambda: dataset.items.fetchall(), table_name="copied")
