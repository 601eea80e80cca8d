"""dlt's SQL clients: which connection one uses, and cursors that stay on the server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dlt.destinations.sql_client import DBApiCursorImpl, SqlClientBase

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchemaColumns


def use_connection(client: SqlClientBase[Any], connection: Any) -> None:
    """Make a client use a connection that somebody else has opened; None ends that."""
    client._conn = connection  # type: ignore[attr-defined]  # every client of dlt has it


@contextmanager
def connected(client: SqlClientBase[Any]) -> Iterator[Any]:
    """Yield a client with an open connection: the one that it has, as within `with dataset:`."""
    if client.native_connection:
        yield client
        return
    with client:
        yield client


def columns_and_rows(
    client: SqlClientBase[Any], query: str
) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    """Return what a destination answers to a query: names and types of columns, and rows.

    Args:
        client: A client with an open connection.
        query: The query, in the SQL of the destination. One that gives no columns gives no rows.
    """
    with client.execute_query(query) as cursor:
        # that of SQLAlchemy has the one of the driver, if there are rows
        native: Any = cursor.native_cursor
        native = native if hasattr(native, "description") else native.cursor
        if native is None or native.description is None:
            return [], []
        # PostgreSQL's driver reads JSON itself
        columns = [(str(column[0]), str(column[1]).lower()) for column in native.description]
        return columns, list(cursor.fetchall())


def leave_on_server(client: SqlClientBase[Any]) -> None:
    """Make a client of PostgreSQL leave rows on the server until somebody fetches their chunk.

    psycopg2 alone receives all rows before it hands out the first one. Clients of other
    destinations do not change.
    """
    names = [cls.__name__ for cls in type(client).__mro__]
    is_postgres = "Psycopg2SqlClient" in names and "RedshiftSqlClient" not in names
    if is_postgres and "execute_query" not in vars(client):
        execute: Any = partial(_execute_late, client, client.execute_query)
        setattr(client, "execute_query", execute)  # noqa: B010  # of this object alone


@contextmanager
def _execute_late(
    client: Any, execute: Any, query: Any, *args: Any, **kwargs: Any
) -> Iterator[Any]:
    """Execute a query later, when the caller shows how it fetches the rows."""
    with ExitStack() as stack:

        def at_once() -> Any:
            return stack.enter_context(execute(query, *args, **kwargs)).native_cursor

        def in_chunks() -> Any:
            return stack.enter_context(_on_server(client, query, args or kwargs or None))

        cursor = _LateCursor(at_once, in_chunks if _is_select(query) else at_once)
        yield cursor
        # a caller that fetches nothing wants the query to run
        _ = cursor.native_cursor


@contextmanager
def _on_server(client: Any, query: str, arguments: Any) -> Iterator[Any]:
    try:
        # `withhold`: no transaction stays open, and no lock, while the caller works on a chunk
        named = client.native_connection.cursor(f"dlt_{uuid.uuid4().hex}", withhold=True)
        named.execute(query, arguments)
        with closing(named):
            yield named
    except Exception as error:
        if not client.is_dbapi_exception(error):
            raise
        raise client._make_database_exception(error) from error


class _LateCursor(DBApiCursorImpl):
    """A cursor that runs its query when the caller fetches: all rows at once, or in chunks."""

    def __init__(self, at_once: Callable[[], Any], in_chunks: Callable[[], Any]) -> None:
        self._at_once = at_once
        self._in_chunks = in_chunks
        self._native: Any = None
        self._columns: TTableSchemaColumns | None = None

    @property
    def native_cursor(self) -> Any:  # type: ignore[override]  # dlt sets it when it makes a cursor
        if self._native is None:
            self._native = self._at_once()
        return self._native

    @property
    def columns_schema(self) -> Any:
        if self._columns is None:
            # PostgreSQL tells the columns with the first rows
            self._set_default_schema_columns()
        return self._columns

    @columns_schema.setter
    def columns_schema(self, columns: TTableSchemaColumns) -> None:
        self._columns = columns

    def iter_fetch(self, chunk_size: int) -> Generator[list[tuple[Any, ...]], Any, Any]:
        if self._native is None:
            self._native = self._in_chunks()
        yield from super().iter_fetch(chunk_size)


def _is_select(query: Any) -> bool:
    return isinstance(query, str) and query.lstrip(" \n\t(")[:6].upper().startswith(
        ("SELECT", "WITH ", "WITH\n")
    )


def sql_clients() -> list[type]:
    """Return dlt's classes of clients for embedded databases, as far as they can be imported."""
    from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

    found: list[type] = [DuckDbSqlClient]
    try:
        from dlt.destinations.impl.sqlalchemy.db_api_client import SqlalchemyClient
    except ImportError:
        # SQLAlchemy is not installed
        return found
    return [*found, SqlalchemyClient]


def each_connection(client: SqlClientBase[Any], tell: Callable[..., None]) -> None:
    """Call `tell` with each connection of a client of an embedded database, as the driver has it.

    Args:
        client: A client with an open connection.
        tell: Is called again for a connection that its engine opens later.
    """
    native: Any = client.native_connection
    tell(native)
    if (pool := getattr(getattr(client, "credentials", None), "conn_pool", None)) is not None:
        # DuckDB's: the client has a clone of it, and ibis takes it
        tell(pool._conn)
    elif (pooled := getattr(native, "connection", None)) is not None:
        from sqlalchemy import event

        tell(pooled.dbapi_connection)
        if not event.contains(native.engine, "connect", tell):
            event.listen(native.engine, "connect", tell)
