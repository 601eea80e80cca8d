"""A database in memory, of which a module has the connection, is as new in each test."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dlt
import duckdb
import pytest
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

from dlthub_project.errors import ProjectError, RemoteDestinationBlocked
from dlthub_project.sandbox import isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox


def load(destination: Any, value: int) -> list[int]:
    pipeline = dlt.pipeline("shop", destination=destination, dataset_name="data")
    pipeline.run([{"id": value}], table_name="items")
    return sorted(row[0] for row in pipeline.dataset()["items"].select("id").fetchall())


WAYS: dict[str, Callable[[Any], Callable[[], Any]]] = {
    # a module makes the destination
    "destination": lambda given: (lambda made: lambda: made)(dlt.destinations.duckdb(given)),
    # a function of it makes one each time, of the connection of the module
    "connection": lambda given: lambda: dlt.destinations.duckdb(given),
    "cursor": lambda given: lambda: dlt.destinations.duckdb(given.cursor()),
}
if hasattr(DuckDbCredentials, "external_conn"):
    # before, dlt lost the connection of credentials that code had made
    WAYS["credentials"] = lambda given: lambda: dlt.destinations.duckdb(DuckDbCredentials(given))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("way", WAYS)
def test_a_duckdb_in_memory_is_as_new_in_each_test(make_sandbox: MakeSandbox, way: str) -> None:
    connection = duckdb.connect()
    destination = WAYS[way](connection)
    for value in (1, 2):
        with isolated(make_sandbox(f"test-{value}")):
            assert load(destination(), value) == [value]
            # in one test it goes on, also where the user reads it
            assert load(destination(), 3) == [value, 3]
            assert connection.sql("SELECT max(id) FROM data.items").fetchall() == [(3,)]
    assert connection.sql("SELECT * FROM duckdb_tables()").fetchall() == []


def test_what_the_module_has_put_there_stays(make_sandbox: MakeSandbox) -> None:
    connection = duckdb.connect()
    connection.execute(
        """
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE rates (code TEXT PRIMARY KEY, mood mood DEFAULT 'good');
        INSERT INTO rates (code) VALUES ('EUR');
        CREATE SCHEMA data;
        CREATE TABLE data.items AS SELECT 100 AS id, 'load' AS _dlt_load_id, 'a' AS _dlt_id;
        CREATE VIEW good AS SELECT code FROM rates;
        CREATE MACRO twice(x) AS x * 2;
        """
    )
    for value in (1, 2):
        with isolated(make_sandbox(f"test-{value}")):
            assert load(dlt.destinations.duckdb(connection), value) == [value, 100]
            connection.execute("INSERT INTO rates (code) VALUES ('USD'); DROP VIEW good")
        assert connection.execute("SELECT * FROM good").fetchall() == [("EUR",)]
        assert connection.execute("SELECT mood, twice(2) FROM rates").fetchall() == [("good", 4)]
    assert connection.execute("SELECT DISTINCT database_name FROM duckdb_tables()").fetchall() == [
        ("memory",)
    ]


def test_an_inner_sandbox_leaves_what_the_outer_one_has_loaded(make_sandbox: MakeSandbox) -> None:
    destination = dlt.destinations.duckdb(duckdb.connect())
    with isolated(make_sandbox("outer")):
        assert load(destination, 1) == [1]
        for name in ("one", "two"):
            with isolated(make_sandbox(name)):
                assert load(destination, 2) == [1, 2]
        assert load(destination, 3) == [1, 3]


def test_a_database_that_cannot_be_emptied_is_an_error(make_sandbox: MakeSandbox) -> None:
    connection = duckdb.connect()
    with ExitStack() as ending:
        ending.enter_context(isolated(make_sandbox()))
        load(dlt.destinations.duckdb(connection), 1)
        connection.execute("BEGIN; ALTER TABLE data.items ADD COLUMN other INT")
        with pytest.raises(ProjectError, match="cannot be emptied after this test"):
            ending.close()


def test_a_connection_may_be_closed_before_the_test_ends(make_sandbox: MakeSandbox) -> None:
    kept = duckdb.connect()
    for value in (1, 2):
        with isolated(make_sandbox(f"test-{value}")):
            with kept.cursor() as connection:
                assert load(dlt.destinations.duckdb(connection), value) == [value]
            assert kept.sql("SELECT id FROM data.items").fetchall() == [(value,)]


def test_a_connection_to_a_file_of_another_test_is_blocked(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox("first")) as sandbox:
        load("duckdb", 1)
        connection = duckdb.connect(f"{sandbox.local_dir}/shop.duckdb")
    with isolated(make_sandbox("second")), pytest.raises(RemoteDestinationBlocked):
        load(dlt.destinations.duckdb(connection), 2)


@pytest.mark.parametrize("pool", ["StaticPool", "SingletonThreadPool"])
def test_an_sqlite_in_memory_is_as_new_in_each_test(make_sandbox: MakeSandbox, pool: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(
        "sqlite:///:memory:",
        poolclass=getattr(sqlalchemy.pool, pool),
        connect_args={"check_same_thread": False},
    )
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE rates (id INTEGER)"))

    for name in ("first", "second"):
        with isolated(make_sandbox(name)):
            pipeline = dlt.pipeline("shop", destination=dlt.destinations.sqlalchemy(engine))
            with pipeline.sql_client() as client:
                client.execute_sql("INSERT INTO rates VALUES (1)")
                client.execute_sql("CREATE TABLE other (id INTEGER)")
                assert client.execute_sql("SELECT * FROM rates") == [(1,)]
    engine.dispose()
