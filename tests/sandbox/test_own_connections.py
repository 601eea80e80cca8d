"""Connections that code opens itself read what the test has loaded, and not what production has."""

from __future__ import annotations

import inspect
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import dlt
import duckdb
import pytest
from conftest import MakeSandbox

from dlthub_project.sandbox import isolated, own_connections, visited

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
print(connect({str(production)!r}, read_only=True).sql({READ!r}).fetchone()[0])
"""
    with isolated(make_sandbox()):
        load(dlt.destinations.duckdb(str(production)), 1)
        read_there = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )

    assert read_there.stdout == "1\n"


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
