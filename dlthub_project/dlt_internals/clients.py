"""dlt's clients of destinations: their parts, and their open connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlt.destinations.impl.duckdb.configuration import DuckDbBaseCredentials

from dlthub_project.dlt_internals.destinations import duckdb_path, sqlite_path

_WAS_OPEN = "_dlthub_was_open"


def parts_of(client: Any) -> Iterator[Any]:
    """Yield a client of a destination and, of a database, its client of SQL."""
    yield client
    if (of_sql := vars(client).get("_sql_client")) is not None:
        yield of_sql


def fresh(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of those arguments of `Destination.client` that it changes."""
    config = arguments.get("initial_config")
    return {} if config is None else {"initial_config": config.copy()}


def record_of(client: Any, name: str) -> Any:
    """Return the notes on a client; an SQL client on files has those of the client of the files."""
    state = vars(client)
    if name not in state and "remote_client" in state:
        state = vars(state["remote_client"])
    return state.get(name)


def replace(client: Any, other: Any) -> None:
    """Turn a client into another one of its class, in place.

    If it had an open connection, it opens one: code is in a `with` block of it.
    """
    if hasattr(client, "open_connection"):
        other = other.sql_client
    was_open = close(client) or _WAS_OPEN in vars(client)
    vars(client).clear()
    vars(client).update(vars(other))
    if was_open:
        client.open_connection()


def close(client: Any) -> bool:
    """Close the connection of a client or of ibis, and tell whether it had one open."""
    if hasattr(client, "disconnect"):
        client.disconnect()
        return True
    of_sql = client if hasattr(client, "open_connection") else vars(client).get("_sql_client")
    if of_sql is None or of_sql.native_connection is None:
        return False
    of_sql.close_connection()
    vars(of_sql)[_WAS_OPEN] = True
    return True


def local_path_of(client: Any) -> str | None:
    """Return the file or folder that a client leads to; empty in memory, None for a server."""
    state = vars(client)
    if "remote_client" in state:
        return local_path_of(state["remote_client"])
    if "bucket_path" in state:
        protocol = state["config"].protocol
        local = {"memory": "", "file": str(state["bucket_path"])}
        return local.get(protocol)
    credentials = state.get("credentials")
    if isinstance(credentials, DuckDbBaseCredentials):
        return duckdb_path(credentials)
    return sqlite_path(credentials)


def classes_of_connections() -> list[type]:
    """Return dlt's classes of clients of SQL that say how to connect, as far as they are imported.

    Those of embedded databases are imported here.
    """
    from dlt.destinations.sql_client import SqlClientBase

    from dlthub_project.dlt_internals.sql_clients import sql_clients
    from dlthub_project.dlt_internals.twins import TwinClient

    found, waiting = sql_clients(), [SqlClientBase]
    # it connects as dlt's does, and looks at who asks
    others = (SqlClientBase, TwinClient)
    while waiting:
        owner: type = waiting.pop()
        waiting += owner.__subclasses__()
        if "open_connection" in vars(owner) and owner not in (*found, *others):
            found.append(owner)
    return found


def client_of_files() -> type:
    """Return dlt's class of clients of buckets."""
    from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

    return FilesystemClient


ATTRIBUTES_OF_FILES = ("bucket_path", "config", "fs_client")
"""What a client of a bucket has set on itself of its place."""
