"""dlt's SQL clients: which connection one uses, and cursors that stay on the server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dlt.destinations.sql_client import DBApiCursorImpl, SqlClientBase

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchemaColumns


_WORDS = ("attach", "copy", "export", "vacuum", "secret", "_directory", "_output", "log")
# settings of DuckDB that name a file or folder which it writes
_SETTINGS = (
    "EXTENSION_DIRECTORY",
    "HOME_DIRECTORY",
    "LOG_QUERY_PATH",
    "PROFILE_OUTPUT",
    "PROFILING_OUTPUT",
    "SECRET_DIRECTORY",
    "TEMP_DIRECTORY",
)
# DuckDB takes these for FALSE
_OFF = ("FALSE", "F", "NO", "N", "OFF", "0")
_FILE_TYPES = ("", "duckdb", "sqlite")
_SKIPPED = ("=", "TO", "OR", "REPLACE", "DATABASE", "IF", "NOT", "EXISTS")


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


def files_written(sql: str, values: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield the databases that SQL attaches to write to, and the files that it writes.

    Args:
        sql: One statement or several, of DuckDB or SQLite.
        values: What stands for its parameters.
    """
    lower = sql.lower()
    # of most statements nothing more is to be known
    if not any(word in lower for word in _WORDS):
        return
    for texts in _statements(sql):
        words = [text.upper() for text, _ in texts]
        if words[0] == "ATTACH":
            options = _options(texts)
            if options.get("READ_ONLY", options.get("READONLY", "FALSE")) in _OFF:
                kind, place = options.get("TYPE", "").lower(), _operand(texts, 1, values)
                # a connection string of another system may look like the name of a file
                yield place if kind in _FILE_TYPES else f"{kind}://{place}"
        elif words[0] in ("COPY", "EXPLAIN", "PREPARE") and "COPY" in words and "TO" in words:
            yield _operand(texts, words.index("TO", words.index("COPY")) + 1, values)
        elif words[:2] == ["EXPORT", "DATABASE"]:
            yield next((text for text, is_string in texts if is_string), "")
        elif words[0] == "VACUUM" and "INTO" in words:
            yield _operand(texts, words.index("INTO") + 1, values)
        elif words[0] in ("SET", "PRAGMA") and (named := {*words[:3]} & {*_SETTINGS}):
            yield _operand(texts, words.index(named.pop()) + 1, values)
        elif words[0] == "CREATE" and {"PERSISTENT", "SECRET"} <= {*words[:5]}:
            yield os.path.expanduser("~/.duckdb/stored_secrets")
        elif words[:2] == ["CALL", "ENABLE_LOGGING"]:
            yield from (text for text, is_string in texts if is_string and "/" in text)


def _statements(sql: str) -> Iterator[list[tuple[str, bool]]]:
    """Yield the words of each statement, and whether they are texts."""
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(sql, read="duckdb")
    for is_end, group in groupby(tokens, lambda token: token.token_type is TokenType.SEMICOLON):
        if is_end:
            continue
        first, *others = group
        if first.token_type is TokenType.COMMAND:
            # what follows it is one text
            others = [token for rest in others for token in sqlglot.tokenize(rest.text, "duckdb")]
        yield [(t.text, t.token_type is TokenType.STRING) for t in (first, *others)]


def _options(texts: list[tuple[str, bool]]) -> dict[str, str]:
    """Return the options in the brackets of a statement, by name; one without a value is TRUE."""
    words = [text.upper() for text, _ in texts if text != "="]
    if ("(", False) not in texts:
        return {}
    start = [text for text, _ in texts if text != "="].index("(") + 1
    found: dict[str, str] = {}
    for is_between, group in groupby(words[start:], lambda word: word in (",", ")")):
        if not is_between:
            name, *values = group
            found[name] = values[0] if values else "TRUE"
    return found


def _operand(texts: list[tuple[str, bool]], start: int, values: tuple[Any, ...]) -> str:
    for text, is_string in texts[start:]:
        if is_string:
            return text
        if text in ("?", ":", "$", "%"):
            # a parameter: the first one is the file
            return str(values[0]) if values else text
        if text.upper() not in _SKIPPED:
            return text
    return ""
