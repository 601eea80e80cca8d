"""`sql_database` without its database: what it would be asked for stands in `hints`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.schema.utils import new_table

from dlthub_project import EntityNotFound, MergeKeyNotKnown, ProjectError
from pytest_dlthub import DltProject, DltRun

pytest.importorskip("sqlalchemy")
from dlt.sources.sql_database import sql_table
from sqlalchemy import Engine, create_engine, text

OpenProject = Callable[..., DltProject]

MANIFEST = """
    sources:
      its_source: {type: sql_database, schema: public, TABLES}
    pipelines:
      load: {source: its_source, destination: duckdb}
"""
MERGED = """
import dlt
from dlt.sources.sql_database import sql_database, sql_table


@dlt.source
def shop(credentials: str = dlt.secrets.value):
    yield sql_table(credentials, table="orders", write_disposition="merge", DEFER)
    yield sql_table(credentials, table="users", DEFER)
"""
ORDERS = [{"id": 1, "total": 5}, {"id": 2, "total": 6}]
KEY = {"orders": {"primary_key": "id"}}


# of dlt's own call of itself
@pytest.mark.filterwarnings("ignore:`detect_precision_hints` argument:DeprecationWarning")
@pytest.mark.parametrize("tables", ["table_names: [orders, users]", "chunk_size: 10"])
def test_tables_that_are_given_are_loaded_without_a_database(
    open_project: OpenProject, tables: str
) -> None:
    """It reflects when it is made, with the tables that it is told and without."""
    project = open_project(MANIFEST.replace("TABLES", tables))

    run = project.run("load", given={"orders": ORDERS})

    assert run.rows("orders") == ORDERS
    assert run.row_counts == {"orders": 2}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("defer", ["", "defer_table_reflect=True"], ids=["reflected", "deferred"])
def test_merge_by_a_key_of_the_database_needs_the_key(
    open_project: OpenProject, defer: str
) -> None:
    """Without it dlt appends, and each row would be there twice."""
    files = {"sources/shop.py": MERGED.replace("DEFER", defer)}
    manifest = """
        sources: {its_source: {type: shop.shop}}
        pipelines: {load: {source: its_source, destination: duckdb}}
    """
    project = open_project(manifest, files)

    with pytest.raises(ProjectError, match="its key is known to its database alone") as caught:
        project.run("load", given={"orders": ORDERS})
    assert 'hints={"orders": {"primary_key": "id"}}' in str(caught.value)

    run = project.run("load", given={"orders": ORDERS}, hints=KEY)
    run = run.next(given={"orders": [{"id": 2, "total": 7}]})
    assert run.rows("orders") == [{"id": 1, "total": 5}, {"id": 2, "total": 7}]
    # no key is needed to append
    assert project.run("load", given={"users": [{"id": 1}]}).row_counts == {"users": 1}


def test_merge_that_only_the_run_or_a_wrapper_asks_for_needs_the_key(dlt_run: DltRun) -> None:
    @dlt.resource(write_disposition="merge")
    def wrapped() -> Any:
        yield sql_table(table="orders", defer_table_reflect=True)

    @dlt.resource(write_disposition="merge")
    def marked() -> Any:
        yield dlt.mark.with_hints([{"id": 1}], dlt.mark.make_hints(primary_key="id"))

    @dlt.resource(write_disposition="merge")
    def appended() -> Any:
        """Has no key in production either."""

    def orders() -> Any:
        return sql_table(table="orders", defer_table_reflect=True)

    def hinted() -> Any:
        return orders().apply_hints(write_disposition={"disposition": "merge"})

    merge: Any = {"write_disposition": "merge"}
    for name, source, arguments in (
        ("orders", orders, merge),
        ("orders", hinted, {}),
        ("wrapped", wrapped, {}),
        ("marked", marked, {}),
    ):
        with pytest.raises(MergeKeyNotKnown, match=f"`{name}` is merged, and its key"):
            dlt_run(source, given={name: ORDERS}, **arguments)
    for name, source, arguments in (
        ("orders", orders, {**merge, "primary_key": "id"}),
        ("marked", marked, {"write_disposition": "append"}),
        ("appended", appended, {}),
    ):
        dlt_run(source, given={name: ORDERS}, dataset_name=f"of_{name}", **arguments)


def test_hints_may_be_a_schema_or_a_file_with_one(
    open_project: OpenProject, tmp_path: Path
) -> None:
    """The file is what `export_schema_path` of a real run has written."""
    schema = dlt.Schema("real")
    columns: list[Any] = [
        {"name": "id", "data_type": "bigint", "primary_key": True},
        {"name": "total", "data_type": "decimal"},
        {"name": "_dlt_load_id", "data_type": "text"},
    ]
    schema.update_table(new_table("orders", columns=columns))
    (tmp_path / "real.schema.yaml").write_text(schema.to_pretty_yaml())
    files = {"sources/shop.py": MERGED.replace("DEFER", "")}
    manifest = """
        sources: {its_source: {type: shop.shop}}
        pipelines: {load: {source: its_source, destination: duckdb}}
    """
    project = open_project(manifest, files)

    for hints in (schema, str(tmp_path / "real.schema.yaml")):
        run = project.run("load", given={"orders": ORDERS}, hints=hints)
        assert run.schema.tables["orders"]["columns"]["total"]["data_type"] == "decimal"
        assert run.schema.tables["orders"]["columns"]["id"]["primary_key"]


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"ordrs": {"primary_key": "id"}}, "Did you mean `orders`"),
        ({"orders": {"primary_kye": "id"}}, "Did you mean `primary_key`"),
        ({"orders": "id"}, "neither hints by resource nor a schema"),
        ("no.schema.yaml", "there is no file"),
    ],
)
def test_hints_that_are_wrong_say_what_was_meant(dlt_run: DltRun, hints: Any, message: str) -> None:
    orders = dlt.resource([{"id": 0}], name="orders")
    with pytest.raises((ProjectError, EntityNotFound), match=message):
        dlt_run(orders, given={"orders": ORDERS}, hints=hints)


def test_hints_without_given_rows_are_refused(dlt_run: DltRun) -> None:
    with pytest.raises(TypeError, match="nothing given"):
        dlt_run(dlt.resource(ORDERS, name="orders"), hints=KEY)


def test_the_placeholder_of_a_database_url_makes_an_engine(dlt_run: DltRun) -> None:
    @dlt.source
    def shop(database_url: str = dlt.secrets.value, api_key: str = dlt.secrets.value) -> Any:
        import sqlalchemy

        engine = sqlalchemy.create_engine(database_url)
        assert api_key == "not-set"

        @dlt.resource
        def orders() -> Any:
            with engine.connect() as connection:
                yield from connection.execute(sqlalchemy.text("select 1"))

        return orders

    assert dlt_run(lambda: shop(), given={"orders": ORDERS}).rows("orders") == ORDERS


def test_an_engine_takes_what_that_of_a_server_takes_and_leaves_nothing_open(
    dlt_run: DltRun,
) -> None:
    """Python 3.13 warns of a connection that nobody has closed."""
    engines: list[Engine] = []

    @dlt.source
    def shop(database_url: str = dlt.secrets.value) -> Any:
        engine = create_engine(
            database_url,
            pool_size=2,
            max_overflow=1,
            pool_timeout=3,
            pool_use_lifo=True,
            pool_pre_ping=True,
            connect_args={"sslmode": "require"},
        )
        engines.append(engine)
        return dlt.resource([], name="orders")

    dlt_run(lambda: shop(), given={"orders": ORDERS})

    for engine in engines:
        with engine.connect() as connection:
            opened: Any = connection.connection.driver_connection
            assert connection.scalar(text("select 1")) == 1
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            opened.execute("select 1")
    assert engines
