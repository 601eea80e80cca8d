"""dlt's clients of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import SqlClientBase, WithSchemas

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


def open_dataset(destination: AnyDestination, dataset_name: str, naming: str) -> JobClientBase:
    """Return a client of the dataset of this very name, as the naming convention has left it."""
    from dlt.dataset.utils import get_destination_clients

    return get_destination_clients(
        schema=Schema("any", normalizers={"names": naming, "json": {}}),
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


class HeldDataset(dlt.Dataset):
    """A dataset that keeps its connection, from the first query on, until it is released."""

    @property
    def sql_client(self) -> SqlClientBase[Any]:
        """The client, with an open connection."""
        if self._opened_sql_client is None:
            super().__enter__()
        return self._opened_sql_client

    def release(self) -> None:
        """Close the connection; the next query opens it again."""
        if self._opened_sql_client is not None:
            super().__exit__(None, None, None)  # type: ignore[arg-type]  # dlt's hints are narrow

    def refresh(self) -> None:
        """Close the connection, and read the schemas from the destination when they are needed."""
        self.release()
        dlt.Dataset.__init__(self, self._destination, self.dataset_name)

    def __enter__(self) -> HeldDataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def checkpoint(path: str) -> None:
    """Have all of a DuckDB database in its file: a part of it may be in the log beside it."""
    import duckdb

    with duckdb.connect(path) as connection:
        connection.execute("CHECKPOINT")
