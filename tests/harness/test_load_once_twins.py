"""Tests that only read what is loaded once share an open database, and notice every write."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunTests = Callable[..., pytest.RunResult]

SUITE = """
import os
import pickle
import subprocess
import sys
from contextlib import suppress

import dlt
import duckdb
import pytest
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.sql_client import SqlClientBase


@dlt.resource(name="users", primary_key="id", write_disposition="append")
def users():
    yield [{"id": 1}, {"id": 2}]


pytestmark = pytest.mark.dlt_load(source=users, pipeline_name="crm", dataset_name="data")
INSERT = "INSERT INTO data.users (id, _dlt_load_id, _dlt_id) VALUES (3, 'x', 'y')"
HOUR = "SELECT strftime(TIMESTAMPTZ '2024-01-01 00:00:00+00', '%H')"
CODE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"


def ids(dataset):
    return sorted(row[0] for row in dataset.users.select("id").fetchall())


def by_statement(run):
    run.dataset.sql_client.execute_sql(INSERT)


def by_statements(run):
    run.dataset.sql_client.execute_sql(f"SELECT 1; {INSERT}")


def by_query(run):
    with run.dataset.sql_client.execute_query(INSERT.replace("3", "%s", 1), 3):
        pass


def in_transaction(run):
    client = run.dataset.sql_client
    with client.begin_transaction():
        client.execute_sql(INSERT)


def by_native_connection(run):
    run.dataset.sql_client.native_connection.execute(INSERT)


def by_attribute_of_client(run):
    run.dataset.sql_client.execute(INSERT)


def by_client_in_block(run):
    with run.dataset.sql_client as client:
        client.execute_sql(INSERT)


def by_another_dataset(run):
    with run.pipeline.sql_client() as client:
        client.execute_sql(INSERT)


def by_kept_connection(run):
    connection = duckdb.connect(path_of(run))
    connection.execute(INSERT)
    # open until the test ends, and nothing of it is in the file itself
    return connection


def by_duckdb(run):
    with duckdb.connect(path_of(run)) as connection:
        connection.execute(INSERT)


def by_program(run):
    # which closes the connection: DuckDB lets no other process in
    path = str(run.database_path)
    subprocess.run([sys.executable, "-c", CODE, path, INSERT], check=True)


def by_next_run(run):
    run.next(data=[{"id": 3}], table_name="users")


def by_pipeline(run):
    crm = dlt.pipeline("crm", destination="duckdb", dataset_name="data")
    crm.run([{"id": 3}], table_name="users")


def path_of(run):
    # as code finds it that does not ask for `database_path`
    folder = dlt.current.run_context().local_dir
    return os.path.join(folder, "crm.duckdb")


WAYS = [
    by_statement, by_statements, by_query, in_transaction, by_native_connection,
    by_attribute_of_client, by_client_in_block, by_another_dataset, by_kept_connection, by_duckdb,
    by_program, by_next_run, by_pipeline,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_is_written_is_read(dlt_loaded, way):
    assert ids(dlt_loaded.dataset) == [1, 2]

    kept = way(dlt_loaded)

    assert ids(dlt_loaded.dataset) == [1, 2, 3]
    assert dlt_loaded.sql("SELECT count(*) AS n FROM users") == [{"n": 3}]
    del kept


def test_reading_alone_opens_no_file(dlt_loaded, monkeypatch):
    opened = []
    connect = duckdb.connect
    monkeypatch.setattr(
        duckdb, "connect", lambda *args, **kw: opened.append(args or kw) or connect(*args, **kw)
    )
    for _ in range(2):
        assert ids(dlt_loaded.dataset) == [1, 2]
        assert len(dlt_loaded.rows("users", where={"id": 1})) == 1
        assert dlt_loaded.sql("SELECT count(*) AS n FROM users") == [{"n": 2}]
    has_twins = hasattr(SqlClientBase, "owns_connection")
    assert (opened == []) is (has_twins and os.environ["DLTHUB_PROJECT_SPEED"] == "on")


@pytest.mark.parametrize("again", [1, 2])
def test_what_a_connection_has_of_its_own_is_there(dlt_dataset, dlt_loaded, dlt_isolated, again):
    assert ids(dlt_dataset) == [1, 2]
    client = dlt_dataset.sql_client

    client.execute_sql("CREATE TEMP TABLE mine AS SELECT 7 AS seven")
    client.execute_sql("SET VARIABLE colour = 'red'")

    assert client.execute_sql("SELECT seven FROM mine") == [(7,)]
    assert client.execute_sql("SELECT getvariable('colour')") == [("red",)]
    assert ids(dlt_dataset) == [1, 2]


@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.parametrize("query", ["SELECT path FROM duckdb_databases() WHERE path <> ''",
                                   "PRAGMA database_list"])
def test_the_file_that_is_told_is_in_the_sandbox(dlt_dataset, dlt_isolated, again, query):
    assert ids(dlt_dataset) == [1, 2]
    told = str(dlt_dataset.sql_client.execute_sql(query))
    assert dlt_isolated.folder in told and "templates" not in told


def raw_cursor(client):
    with client.execute_query("SELECT 1") as cursor:
        return cursor


def native_cursor(client):
    with client.execute_query("SELECT 1") as cursor:
        return cursor.native_cursor


def cursor_of_attribute(client):
    return client.cursor()


def native_connection(client):
    return client.native_connection


def opened_connection(client):
    return client.open_connection()


def the_client(client):
    return client


HANDLES = [
    raw_cursor, native_cursor, cursor_of_attribute, native_connection, opened_connection,
    the_client,
]
# what a later test would see of each, and what is there without it
LEFT = {
    "ATTACH IF NOT EXISTS ':memory:' AS other; CREATE OR REPLACE TABLE other.t AS SELECT 1 AS n":
        ("SELECT n FROM other.t", None),
    "SET GLOBAL default_null_order = 'nulls_first'":
        ("SELECT n FROM (VALUES (1), (NULL)) v(n) ORDER BY n LIMIT 1", [(1,)]),
    "PRAGMA default_collation = NOCASE": ("SELECT 'a' = 'A'", [(False,)]),
    "SET GLOBAL TimeZone = 'Asia/Tokyo'": (HOUR, [("00",)]),
    "CREATE OR REPLACE TEMP TABLE left_here AS SELECT 1 AS n": ("SELECT n FROM left_here", None),
    "CREATE OR REPLACE TEMP MACRO left_here() AS 1": ("SELECT left_here()", None),
    "USE memory": ("SELECT current_catalog()", [("crm",)]),
    # these two are no plain reads, and end the reading through the template
    "SELECT * FROM query('SELECT * FROM enable_log' || 'ging()')":
        ("SELECT current_setting('enable_logging')", [(False,)]),
    "PREPARE left_here AS SELECT 1": ("EXECUTE left_here", None),
}


def answer(dataset, question):
    try:
        return dataset.sql_client.execute_sql(question)
    except DatabaseException:
        return None


@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.parametrize("handle", HANDLES, ids=lambda way: way.__name__)
def test_what_is_left_in_a_connection_is_not_there_in_the_next_test(dlt_dataset, handle, again):
    for question, expected in LEFT.values():
        assert answer(dlt_dataset, question) == expected
    dlt_dataset.release()
    used = handle(dlt_dataset.sql_client)
    for statement in LEFT:
        if handle is the_client:
            # which reads through the template up to the statement
            dlt_dataset.release()
            used = dlt_dataset.sql_client
        execute = used.execute_sql if handle is the_client else used.execute
        with suppress(duckdb.Error, DatabaseException):
            execute(statement)


def test_a_setting_of_the_connection_holds(dlt_dataset, dlt_config, dlt_isolated):
    dlt_config["destination.credentials.session_timezone"] = "Asia/Tokyo"
    assert dlt_dataset.sql_client.execute_sql(HOUR) == [("09",)]


def test_the_setting_of_another_test_does_not(dlt_dataset):
    assert dlt_dataset.sql_client.execute_sql(HOUR) == [("00",)]


def test_what_is_not_read_yet_can_be_given_to_another_process(dlt_dataset):
    assert pickle.dumps(dlt_dataset)
"""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("speed", ["on", "off"])
def test_each_test_reads_what_is_in_its_copy(
    run_tests: RunTests, monkeypatch: pytest.MonkeyPatch, speed: str
) -> None:
    monkeypatch.setenv("DLTHUB_PROJECT_SPEED", speed)

    result = run_tests(SUITE)

    result.assert_outcomes(passed=35)
