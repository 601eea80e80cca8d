"""Connections that code opens itself read what the test has loaded, and not what production has."""

from __future__ import annotations

import inspect
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dlt
import duckdb
import pytest

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated, own_connections, visited, written_files

if TYPE_CHECKING:
    from conftest import MakeSandbox

READ = "SELECT count(*) FROM data.orders"


def load(destination: Any, *ids: int) -> None:
    pipeline = dlt.pipeline("shop", destination=destination, dataset_name="data")
    pipeline.run([{"id": number} for number in ids], table_name="orders")


def read(path: str | Path) -> int:
    with duckdb.connect(path, read_only=True) as connection:
        (count,) = connection.sql(READ).fetchall()[0]
    return int(count)


@pytest.fixture
def production(tmp_path: Path) -> Path:
    """A database outside of any sandbox, with three orders."""
    path = tmp_path / "prod.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA data; CREATE TABLE data.orders AS FROM range(3) t(id)")
    return path


def test_a_test_reads_what_it_has_loaded_and_not_what_production_has(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox()):
        assert read(production) == 3
        load(dlt.destinations.duckdb(str(production)), 1)
        assert read(production) == read(str(production)) == 1
        with duckdb.connect(database=production) as connection:
            connection.execute("DELETE FROM data.orders")
        assert read(production) == 0

    assert read(production) == 3


def test_nothing_loaded_is_not_what_production_has(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox()):
        load(dlt.destinations.duckdb(str(production)))
        with pytest.raises(duckdb.CatalogException):
            read(production)


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        (lambda: "duckdb", "shop.duckdb"),
        (lambda: dlt.destinations.duckdb("sub/raw.duckdb"), "sub/raw.duckdb"),
    ],
    ids=["default", "relative"],
)
def test_a_file_in_the_working_directory_is_the_one_of_the_sandbox(
    make_sandbox: MakeSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    destination: Callable[[], Any],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with isolated(make_sandbox()):
        load(destination(), 1, 2)
        assert read(name) == read(tmp_path / name) == 2

    assert not (tmp_path / name).exists()


def test_a_test_reads_what_a_fixture_of_wider_scope_has_loaded(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    wider = make_sandbox("wider")
    with visited(wider):
        load(dlt.destinations.duckdb(str(production)), 1, 2)
    with isolated(make_sandbox("test")):
        assert read(production) == 2
        load(dlt.destinations.duckdb(str(production)), 1)
        assert read(production) == 1
    with visited(wider):
        assert read(production) == 2


def test_a_program_that_a_test_starts_reads_what_that_has_loaded(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    code = f"""
import dlt
from duckdb import connect
print(connect({str(production)!r}, read_only=True).execute({READ!r}).fetchone()[0])
"""
    with isolated(make_sandbox()):
        load(dlt.destinations.duckdb(str(production)), 1)
        read_there = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )

    assert read_there.stdout == "1\n", read_there.stderr


def test_sqlite_too(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    # dlt has a file for each dataset
    path = tmp_path / "prod__data.sqlite"
    with isolated(make_sandbox()):
        load(dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path}/prod.sqlite"), 1)
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT id FROM orders").fetchall() == [(1,)]
        connection.close()

    assert not path.exists()


def test_what_dlt_loads_nothing_into_is_opened_as_it_is(
    make_sandbox: MakeSandbox, tmp_path: Path, production: Path
) -> None:
    with isolated(make_sandbox()):
        load("duckdb", 1)
        assert read(production) == 3
        with duckdb.connect(":memory:") as connection:
            assert connection.sql("SELECT 1").fetchall() == [(1,)]


def test_connect_that_a_module_has_taken_by_its_name_is_led_there_too(
    make_sandbox: MakeSandbox, production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in a process in which no sandbox was yet: DuckDB's own function
    own = inspect.unwrap(duckdb.connect)
    monkeypatch.setattr(duckdb, "connect", own)
    monkeypatch.setattr(own_connections, "_wrapped", set())
    module: Any = ModuleType("module_of_a_user")
    module.connect = own
    monkeypatch.setitem(sys.modules, module.__name__, module)

    with isolated(make_sandbox()):
        load(dlt.destinations.duckdb(str(production)), 1)
        with module.connect(production) as connection:
            assert connection.sql(READ).fetchall() == [(1,)]


ATTACHED = "SELECT count(*) FROM prod.data.orders"


@pytest.mark.parametrize(
    "attach",
    [
        "ATTACH '{}' AS prod",
        "attach or replace database\n'{}' as prod (read_only)",
        "ATTACH IF NOT EXISTS '{}' AS prod",
    ],
)
@pytest.mark.parametrize("method", ["execute", "sql", "query", "executemany"])
def test_what_duckdb_attaches_is_what_the_test_has_loaded(
    make_sandbox: MakeSandbox, production: Path, attach: str, method: str
) -> None:
    attach = attach.format(production)
    try:
        duckdb.extract_statements(attach)
    except duckdb.ParserException:
        pytest.skip("DuckDB has no OR REPLACE of attached databases before 1.3")
    with isolated(make_sandbox()):
        load(dlt.destinations.duckdb(str(production)), 1)
        with duckdb.connect() as connection:
            getattr(connection, method)(attach, *([[[]]] if method == "executemany" else []))
            assert connection.sql(ATTACHED).fetchall() == [(1,)]
        with duckdb.connect() as connection:
            duckdb.execute(query=attach, connection=connection)
            assert duckdb.sql(ATTACHED, connection=connection).fetchall() == [(1,)]
            (statement,) = connection.extract_statements(attach.replace(" prod", " again"))
            connection.execute("DETACH prod")
            connection.execute(statement)


def test_what_a_connection_of_dlt_attaches_is_what_the_test_has_loaded(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox()):
        load(dlt.destinations.duckdb(str(production)), 1)
        with dlt.pipeline("other", destination="duckdb", dataset_name="d").sql_client() as client:
            client.native_connection.execute(f"ATTACH '{production}' AS prod")
            client.native_connection.execute("DELETE FROM prod.data.orders")

    assert read(production) == 3


def test_what_sqlite_attaches_is_what_the_test_has_loaded(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    path = str(tmp_path / "prod__data.sqlite")
    with sqlite3.connect(path) as made:
        made.executescript("CREATE TABLE orders (id); INSERT INTO orders VALUES (1), (2)")
    made.close()
    statements: list[tuple[str, Any]] = [
        (f"ATTACH '{path}' AS prod", ()),
        ("ATTACH DATABASE ? AS prod", (path,)),
        ("ATTACH DATABASE :path AS prod", {"path": path}),
        (f"ATTACH 'file:{path}?mode=ro' AS prod", ()),
    ]
    with isolated(make_sandbox()):
        load(dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path}/prod.sqlite"), 1)
        for sql, values in statements:
            connection = sqlite3.connect("file::memory:", uri=True)
            for way in (connection, connection.cursor()):
                way.execute(sql, values)
                found = way.execute("SELECT count(*) FROM prod.orders").fetchall()
                assert found == [(1,)]
                way.execute("DETACH prod")
            connection.close()
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(1,)]
        connection.close()


def test_a_file_that_dlt_has_in_the_sandbox_is_not_opened_elsewhere_before_it_is_loaded(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline(
            "shop", destination=dlt.destinations.duckdb(str(production)), dataset_name="data"
        )
        pipeline.extract([{"id": 1}], table_name="orders")
        pipeline.normalize()
        with duckdb.connect(production) as connection:
            assert connection.sql("SELECT * FROM duckdb_tables()").fetchall() == []
        pipeline.load()
        assert read(production) == 1

    assert read(production) == 3


def test_a_folder_that_dlt_has_in_the_sandbox_is_not_written_to_elsewhere(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    copy = f"COPY (SELECT 1) TO '{bucket}/orders.parquet'"
    with isolated(make_sandbox()):
        load(dlt.destinations.filesystem(str(bucket)), 1)
        with pytest.raises(RemoteDestinationBlocked, match=r"orders\.parquet.* not in the test's"):
            duckdb.connect().execute(copy)
        duckdb.connect().execute(copy.replace("/bucket/", "/"))

    assert not [*bucket.iterdir()]
    assert (tmp_path / "orders.parquet").exists()


def _through_ibis(pipeline: dlt.Pipeline, sql: str) -> None:
    pipeline.dataset().ibis().raw_sql(sql)


def _through_client(use: Callable[[Any, str], object]) -> Callable[[dlt.Pipeline, str], None]:
    def execute(pipeline: dlt.Pipeline, sql: str) -> None:
        with pipeline.sql_client() as client:
            use(client, sql)

    return execute


WAYS: dict[str, Callable[[dlt.Pipeline, str], None]] = {
    "client": _through_client(lambda client, sql: client.execute(sql)),
    "native": _through_client(lambda client, sql: client.native_connection.sql(sql)),
    "cursor": _through_client(lambda client, sql: client.native_connection.cursor().execute(sql)),
    "module": _through_client(
        lambda client, sql: duckdb.execute(sql, connection=client.native_connection)
    ),
    "statement": _through_client(
        lambda client, sql: client.execute(duckdb.extract_statements(sql)[0])
    ),
    "ibis": _through_ibis,
}
# how code executes SQL on a connection of dlt, and not through dlt


@pytest.mark.parametrize("way", WAYS)
def test_code_attaches_no_file_elsewhere_to_a_connection_of_dlt(
    make_sandbox: MakeSandbox, tmp_path: Path, way: str
) -> None:
    path = tmp_path / "unknown.duckdb"
    with isolated(make_sandbox()):
        load("duckdb", 1)
        pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
        with pytest.raises(RemoteDestinationBlocked, match="unknown"):
            WAYS[way](pipeline, f"/* a; b */ ATTACH '{path}' AS unknown")
        WAYS[way](pipeline, "ATTACH ':memory:' AS free")
        assert not path.exists()
        # a connection that dlt has not made is the user's
        duckdb.connect().execute(f"ATTACH '{path}' AS unknown")

    assert path.exists()


def test_a_relation_of_a_connection_of_dlt_writes_no_file_elsewhere(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    path = str(tmp_path / "orders.parquet")
    with isolated(make_sandbox()):
        load("duckdb", 1)
        pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
        with pipeline.sql_client() as client:
            relation = client.native_connection.sql("SELECT 1 AS id")
            with pytest.raises(RemoteDestinationBlocked, match=r"orders\.parquet"):
                relation.write_parquet(path)

    assert not [*tmp_path.glob("*.parquet")]


def test_code_attaches_no_file_elsewhere_to_an_engine_of_dlt(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    path = tmp_path / "unknown.sqlite"
    attach = f"ATTACH '{path}' AS unknown"
    with isolated(make_sandbox()):
        load(dlt.destinations.sqlalchemy("sqlite:///shop.sqlite"), 1)
        pipeline = dlt.pipeline(
            "shop",
            destination=dlt.destinations.sqlalchemy("sqlite:///shop.sqlite"),
            dataset_name="data",
        )
        with pipeline.sql_client() as client:
            native = client.native_connection.connection.dbapi_connection
            for execute in (native.execute, native.cursor().executescript):
                with pytest.raises(RemoteDestinationBlocked, match="unknown"):
                    execute(attach)
            # another connection of its pool
            with (
                client.engine.connect() as other,
                pytest.raises(RemoteDestinationBlocked, match="unknown"),
            ):
                other.connection.dbapi_connection.execute(attach)

    assert not path.exists()


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("SELECT 1; -- first; second\nATTACH 'a.db' AS a", ["a.db"]),
        ("/* ; */ copy orders to 'a.csv'", ["a.csv"]),
        ("INSERT INTO notes VALUES ('x; attach ''a.db''')", []),
        ("INSERT INTO notes VALUES ('x; y'); EXPORT DATABASE 'folder'", ["folder"]),
    ],
)
def test_the_beginning_of_a_statement_tells_whether_it_may_write(
    sql: str, written: list[str]
) -> None:
    assert [*written_files.files_written(sql)] == written


def test_nothing_is_read_of_a_batch_of_rows() -> None:
    rows = ",".join(["('copy, export, attach')"] * 50_000)
    assert not written_files.may_write(f"INSERT INTO notes VALUES {rows};")
