"""Contracts with dlt: a client of a DuckDB reads through another file of the same content."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.sql_client import SqlClientBase

from dlthub_project.dlt_internals.datasets import HeldDataset
from dlthub_project.dlt_internals.twins import USING_CONNECTION, TwinClient

pytestmark = pytest.mark.skipif(
    not hasattr(SqlClientBase, "owns_connection"),
    reason="this dlt has a client close a connection that is not its own: there are no twins",
)


class TwinOf:
    """Reads one file, which is open, for another one."""

    def __init__(self, path: Path) -> None:
        self.opened = duckdb.connect(str(path), read_only=True)
        self.same = True
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def connect(self, path: str, settings: tuple[Any, ...]) -> Any:
        self.asked.append((path, settings))
        return self.opened.cursor()

    def is_same(self, path: str) -> bool:
        return self.same


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[TwinOf]:
    (tmp_path / "template").mkdir()
    made = TwinOf(Path(shutil.move(loaded(tmp_path), tmp_path / "template" / "shop.duckdb")))
    yield made
    made.opened.close()


def loaded(folder: Path) -> Path:
    path = folder / "shop.duckdb"
    pipeline = dlt.pipeline(
        "shop",
        destination=dlt.destinations.duckdb(str(path)),
        dataset_name="data",
        pipelines_dir=str(folder / "pipelines"),
    )
    pipeline.run([{"id": 1}], table_name="items")
    return path


@pytest.fixture
def dataset(twin: TwinOf, tmp_path: Path) -> HeldDataset:
    copy = shutil.copy(tmp_path / "template" / "shop.duckdb", tmp_path)
    made = HeldDataset(dlt.destinations.duckdb(str(copy)), "data")
    # of the copy itself
    assert made.tables
    made.twin = twin
    return made


@pytest.mark.leans_on(
    "dlt.destinations.impl.duckdb.configuration:DuckDbConnectionPool.borrow_conn",
    "dlt.dataset.dataset:Dataset.__enter__",
    "dlt.dataset.relation:Relation._cursor",
)
def test_a_query_is_answered_by_the_twin_and_a_statement_by_the_file(
    dataset: HeldDataset, twin: TwinOf, tmp_path: Path
) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("INSERT INTO data.items VALUES (2, 'x', 'y')")

    assert dataset.items.select("id").fetchall() == [(1,)]
    assert isinstance(dataset.sql_client, TwinClient)
    assert [path for path, _ in twin.asked] == [str(tmp_path / "shop.duckdb")]

    dataset.sql_client.execute_sql("CREATE TABLE data.others AS SELECT 1 AS id")

    assert not isinstance(dataset.sql_client, TwinClient)
    assert dataset.items.select("id").order_by("id").fetchall() == [(1,), (2,)]
    dataset.release()
    assert twin.opened.execute("SELECT count(*) FROM data.items").fetchall() == [(1,)]


@pytest.mark.leans_on(
    "dlt.destinations.sql_client:SqlClientBase.__getattr__",
    "dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient.native_connection",
    "dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient.begin_transaction",
)
@pytest.mark.parametrize(
    "way",
    [
        *("changed", "connection", "attribute", "transaction", "attached", "unknown"),
        *("cursor", "opened"),
    ],
)
def test_whoever_may_write_has_the_file_itself(
    dataset: HeldDataset, twin: TwinOf, tmp_path: Path, way: str
) -> None:
    client: Any = dataset.sql_client
    assert client.execute_sql("SELECT id FROM items") == [(1,)]
    assert type(client) is TwinClient

    if way == "changed":
        twin.same = False
        client.execute_sql("SELECT id FROM items")
    elif way == "connection":
        client.native_connection.execute("DELETE FROM data.items")
    elif way == "attribute":
        client.execute("DELETE FROM data.items")
    elif way == "cursor":
        with client.execute_query("SELECT id FROM items") as cursor:
            cursor.native_cursor.execute("DELETE FROM data.items")
    elif way == "opened":
        client.open_connection().execute("DELETE FROM data.items")
    elif way == "transaction":
        with client.begin_transaction():
            client.execute_sql("DELETE FROM data.items")
    elif way == "attached":
        # of the whole instance, as secrets are
        other = tmp_path / "other.duckdb"
        client.attach("other", [{"sql": f"ATTACH '{other}' AS other", "key": None}])
        assert client.execute_sql("SELECT current_database()") == [("shop",)]
        databases = "SELECT database_name FROM duckdb_databases() WHERE NOT internal"
        assert twin.opened.execute(databases).fetchall() == [("shop",)]
    else:
        client.execute_sql("SELECT path FROM duckdb_databases()")

    assert type(client) is not TwinClient
    is_deleted = way not in ("changed", "attached", "unknown")
    assert client.execute_sql("SELECT count(*) FROM items") == [(0 if is_deleted else 1,)]
    dataset.release()


# what connects and disconnects, and what is overridden
OF_CLIENT = ("open_connection", "close_connection", "execute_query", "native_connection")
# reads the name of the database, which is that of the file
READS = ("warn_if_catalog_equals_dataset_name",)


@pytest.mark.leans_on("dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient")
def test_all_that_a_client_does_with_its_connection_is_known() -> None:
    found = []
    for name, member in vars(DuckDbSqlClient).items():
        function = inspect.unwrap(member.fget if isinstance(member, property) else member)
        names = getattr(getattr(function, "__code__", None), "co_names", ())
        if {"_conn", "conn_pool", "native_connection"} & {*names}:
            found.append(name)

    assert {*found} <= {"__init__", *OF_CLIENT, *READS, *USING_CONNECTION}
    assert {"execute_query", "begin_transaction"} <= {*found}
