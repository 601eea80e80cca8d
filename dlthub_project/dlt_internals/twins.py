"""Reads a DuckDB file through another one of the same content that is open already.

To open a file takes DuckDB some 8 ms of a test that takes 30: it makes an instance for it. Many
copies of one file can be read through the one instance of the original, as long as nothing is
written to them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# what opens a database in another way than it would be opened by default
_SETTINGS = ("extensions", "global_config", "local_config", "pragmas", "read_only", "statements")
# a query that names one of these may tell where the file is, or which connection this one is
_NOT_OF_DATA = (
    *("duckdb_", "pragma", "setting", "nextval", "currval", "setseed", "variable", "txid"),
    *("current_transaction", "current_query", "connection_id", "_duckdb"),
    # or change something, also where it is a query in a text
    *("checkpoint", "logging", "profiling", "write_log", "query(", "serialized_sql"),
)
# they read what they have asked for, and see whether a connection is open
_OF_CLIENTS = ("dlt.dataset.", "dlt.destinations.", "dlthub_project.dlt_internals.")


class Twin(Protocol):
    """A database that is open, for files of the same content."""

    def connect(self, path: str, settings: tuple[Any, ...]) -> DuckDBPyConnection | None:
        """Return a connection that reads what is in a file; None where it may be another content.

        Args:
            path: The file.
            settings: Those of the connection that hold for all connections of an instance.
        """

    def is_same(self, path: str) -> bool:
        """Tell whether nothing was written to a file."""


class TwinClient(DuckDbSqlClient):
    """A client that reads through the twin of its file, up to the first statement that may write.

    Then, and when somebody else has written to the file, it goes on with the file itself.
    """

    _twin: Twin

    def execute_query(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        is_same = _only_reads(query) and self._twin.is_same(str(self.credentials.database))
        # DuckDB's cursor is the connection
        if not (is_same and _is_asked_by_clients()):
            part(self)
        # by its name: this object may be of another class by now
        return DuckDbSqlClient.execute_query(self, query, *args, **kwargs)

    def open_connection(self) -> Any:
        if not _is_asked_by_clients():
            part(self)
        return DuckDbSqlClient.open_connection(self)

    @property
    def native_connection(self) -> Any:
        if not _is_asked_by_clients():
            part(self)
        return self._conn

    def __getattr__(self, name: str) -> Any:
        # what a client does not know, its connection does
        part(self)
        return getattr(self, name)


USING_CONNECTION = (
    *("attach", "begin_transaction", "commit_transaction", "rollback_transaction"),
    *("create_secret", "drop_secret", "list_secrets", "use_dataset"),
    *("_raise_on_catalog_collision", "_register_filesystem"),
)
"""What a client does with its connection beside queries: databases that it attaches, and secrets,
are of the whole instance, which other tests read through."""


def _parting(name: str) -> Any:
    def use(self: TwinClient, *args: Any, **kwargs: Any) -> Any:
        part(self)
        return getattr(self, name)(*args, **kwargs)

    return use


for _name in USING_CONNECTION:
    if hasattr(DuckDbSqlClient, _name):
        setattr(TwinClient, _name, _parting(_name))


def read_by(client: Any, twin: Twin) -> None:
    """Have a client that is not connected yet read through a twin, where it can."""
    if type(client) is not DuckDbSqlClient:
        return
    credentials: Any = client.credentials
    if any(getattr(credentials, name, None) for name in _SETTINGS) or credentials.conn_pool._conn:
        return
    zone = getattr(credentials, "session_timezone", None)
    connection = twin.connect(str(credentials.database), (zone,))
    if connection is not None:
        credentials.conn_pool._conn = connection
        client.__class__ = TwinClient
        vars(client)["_twin"] = twin


def part(client: Any) -> None:
    """Have a client that reads through a twin go on with its own file."""
    if isinstance(client, TwinClient):
        client.__class__ = DuckDbSqlClient  # type: ignore[assignment]  # as it was made
        if client._conn is not None:
            client.close_connection()
            client.open_connection()


def _is_asked_by_clients() -> bool:
    """Tell whether code of clients calls who asks; any other may do anything with a connection."""
    return str(sys._getframe(2).f_globals.get("__name__", "")).startswith(_OF_CLIENTS)


def _only_reads(query: Any) -> bool:
    """Tell whether a query reads data, and nothing else."""
    import duckdb

    text = str(query).lower()
    if not isinstance(query, str) or any(word in text for word in _NOT_OF_DATA):
        return False
    try:
        # dlt's placeholder is none of DuckDB's
        statements = duckdb.extract_statements(query.replace("%s", "?"))
    except duckdb.Error:
        return False
    return [statement.type for statement in statements] == [duckdb.StatementType.SELECT]
