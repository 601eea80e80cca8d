"""Databases in memory behind a connection or engine that code gives to a destination."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

_numbers = count(1)
_SAVED = "_dlthub_saved_"
# databases of this name that are put back later
_in_use: set[str] = set()


def given_database(config: Any) -> Any:
    """Return the connection or engine that code has given to a destination, or None.

    Args:
        config: The resolved configuration of a destination.
    """
    credentials = getattr(config, "credentials", None)
    for name in ("_external_conn", "_external_engine"):
        if (given := getattr(credentials, name, None)) is not None:
            return given
    pool: Any = getattr(credentials, "conn_pool", None)
    return None if getattr(pool, "_conn_owner", True) else pool._conn


def save_in_memory(given: Any) -> Callable[[], None] | None:
    """Note the content of a database in memory, and return a function that restores it.

    Args:
        given: A connection of DuckDB, or an engine of SQLAlchemy.

    Returns:
        None where it leads to no such database, or is closed.
    """
    if hasattr(given, "raw_connection"):
        return _save_sqlite(given) if given.dialect.name == "sqlite" else None
    return _save_duckdb(given)


def _save_duckdb(connection: Any) -> Callable[[], None] | None:
    try:
        own = connection.cursor()
    except Exception:
        # dlt says that it is closed
        return None
    query = "SELECT path, current_database() FROM duckdb_databases() "
    (path, name), *_ = own.execute(f"{query} WHERE database_name = current_database()").fetchall()
    if path:
        own.close()
        return None
    # in the database itself, where it outlives connections
    query = "SELECT database_name FROM duckdb_databases() WHERE starts_with(database_name, ?)"
    for (left,) in own.execute(query, [_SAVED]).fetchall():
        if left not in _in_use:
            _put_back(own, name, left)
    saved = f"{_SAVED}{next(_numbers)}"
    own.execute(f"ATTACH ':memory:' AS {saved}")
    own.execute(f'COPY FROM DATABASE "{name}" TO {saved}')
    _in_use.add(saved)

    def restore() -> None:
        _in_use.discard(saved)
        try:
            own.execute("SELECT 1")
        except Exception:
            # code has closed its connection, and so ours: other connections still find `saved`
            return
        _put_back(own, name, saved)
        own.close()

    return restore


def _put_back(connection: Any, name: str, saved: str) -> None:
    # some objects depend on others
    for _ in range(10):
        for kind, full_name in _objects(connection):
            connection.execute(f"DROP {kind} IF EXISTS {full_name} CASCADE")
        if not _objects(connection):
            break
    connection.execute(f'COPY FROM DATABASE {saved} TO "{name}"')
    connection.execute(f"DETACH {saved}")


_OBJECTS = (
    ("SCHEMA", "duckdb_schemas()", "NULL"),
    ("VIEW", "duckdb_views()", "view_name"),
    ("TABLE", "duckdb_tables()", "table_name"),
    ("MACRO", "duckdb_functions()", "function_name"),
    ("SEQUENCE", "duckdb_sequences()", "sequence_name"),
    ("TYPE", "duckdb_types()", "type_name"),
)


def _objects(connection: Any) -> list[tuple[str, str]]:
    """Return the kinds and names of all that is in the database of a connection."""
    found = []
    for kind, function, column in _OBJECTS:
        query = f"SELECT DISTINCT schema_name, {column} FROM {function} WHERE NOT "
        query += "internal" if kind != "SEQUENCE" else "temporary"
        rows = connection.execute(f"{query} AND database_name = current_database()").fetchall()
        for schema, name in rows:
            parts = [schema] if name is None else [schema, name]
            if parts != ["main"]:
                found.append((kind, ".".join(f'"{part}"' for part in parts)))
    return found


def _save_sqlite(engine: Any) -> Callable[[], None] | None:
    import sqlite3

    raw = engine.raw_connection()
    source = raw.driver_connection
    rows = source.execute("PRAGMA database_list").fetchall()
    if any(name == "main" and path for _, name, path in rows):
        raw.close()
        return None
    saved = sqlite3.connect(":memory:", check_same_thread=False)
    source.backup(saved)
    raw.close()

    def restore() -> None:
        again = engine.raw_connection()
        again.driver_connection.rollback()
        saved.backup(again.driver_connection)
        saved.close()
        again.close()

    return restore
