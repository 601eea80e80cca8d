"""dlt's clients of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dlt
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import WithSchemas

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination


def open_destination(
    destination: AnyDestination, dataset_name: str, schema_name: str
) -> JobClientBase:
    """Return a client of the dataset at `destination`; enter it to connect."""
    from dlt.dataset.utils import get_destination_clients

    return get_destination_clients(
        schema=Schema(schema_name),
        destination=destination,
        destination_dataset_name=dataset_name,
    )[0]


def local_database(client: JobClientBase) -> str | None:
    """Return the path of the database file of an embedded destination, or None."""
    from dlt.destinations.impl.duckdb.configuration import DuckDbBaseCredentials

    credentials = getattr(client.config, "credentials", None)
    if not isinstance(credentials, DuckDbBaseCredentials):
        return None
    database = getattr(credentials, "database", None)
    return None if not database or database.startswith((":", "md:")) else str(database)


def stored_versions(client: JobClientBase) -> list[tuple[str, str]]:
    """Return name and hash of every stored schema version, the oldest first.

    Where there is no SQL to ask with, the name is empty: it stands for the one stored last.
    """
    from dlt.destinations.sql_client import WithSqlClient

    if not isinstance(client, WithSqlClient) or not isinstance(client, SqlJobClientBase):
        return [("", "")]
    normalize = client.schema.naming.normalize_identifier
    sql = client.sql_client
    name, hash_, time = (
        sql.escape_column_name(normalize(column))
        for column in ("schema_name", "version_hash", "inserted_at")
    )
    table = sql.make_qualified_table_name(client.schema.version_table_name)
    rows = sql.execute_sql(f"SELECT {name}, {hash_} FROM {table} ORDER BY {time}")
    return [(row[0], row[1]) for row in rows or ()]


def replace_schemas(dataset: dlt.Dataset, schemas: Sequence[Schema]) -> None:
    """Give a dataset other schemas, in place; a connection that it holds stays open."""
    opened = dataset._opened_sql_client
    dlt.Dataset.__init__(dataset, dataset._destination, dataset.dataset_name, schema=list(schemas))
    dataset._opened_sql_client = opened
    if isinstance(opened, WithSchemas):
        opened.set_schemas(dataset.schemas)
