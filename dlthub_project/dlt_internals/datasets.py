"""dlt's clients of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import SqlClientBase, WithSchemas

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination

_CLIENT = "_destination_client"


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


def make_dataset(destination: AnyDestination, dataset_name: str, schema_name: str) -> None:
    """Make an empty dataset with an empty schema, as a load without tables would."""
    client = open_destination(destination, dataset_name, schema_name)
    # dlt takes only schemas that are stored somewhere
    client.schema._bump_version()
    with client:
        client.initialize_storage()
        client.update_stored_schema()


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

    Raises:
        DestinationUndefinedEntity: There is none; some destinations raise others.
    """
    from dlt.destinations.sql_client import WithSqlClient

    if not isinstance(client, WithSqlClient) or not isinstance(client, SqlJobClientBase):
        return [("", "")] if client.is_storage_initialized() else []
    normalize = client.schema.naming.normalize_identifier
    sql = client.sql_client
    name, hash_, time = (
        sql.escape_column_name(normalize(column))
        for column in ("schema_name", "version_hash", "inserted_at")
    )
    table = sql.make_qualified_table_name(client.schema.version_table_name)
    rows = sql.execute_sql(f"SELECT {name}, {hash_} FROM {table} ORDER BY {time}")
    return [(row[0], row[1]) for row in rows or ()]


def file_format_there(pipeline: dlt.Pipeline, schema: Schema, table: str) -> str | None:
    """Return the format of the files that a table has, where its destination keeps files.

    dlt reads a table whose files are of one format. None where there is none yet.
    """
    from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

    client = pipeline._get_destination_clients(schema)[0]
    if not isinstance(client, FilesystemClient) or table not in schema.tables:
        return None
    if client.prepare_load_table(table).get("table_format"):
        return None
    try:
        files = client.list_table_files(table)
    except DestinationUndefinedEntity:
        return None
    found = {PurePath(file.removesuffix(".gz")).suffix[1:] for file in files}
    return min(found & {"jsonl", "parquet", "csv"}, default=None)


def replace_schemas(dataset: dlt.Dataset, schemas: Sequence[Schema]) -> None:
    """Give a dataset other schemas, in place; its client, and a connection that it holds, stay."""
    opened, client = dataset._opened_sql_client, vars(dataset).get(_CLIENT)
    dlt.Dataset.__init__(dataset, dataset._destination, dataset.dataset_name, schema=list(schemas))
    dataset._opened_sql_client = opened
    if isinstance(opened, WithSchemas):
        opened.set_schemas(dataset.schemas)
        _forget_views(opened)
    # others have made views of the files that were there
    if isinstance(client, SqlJobClientBase):
        read_through(dataset, client)


def _forget_views(opened: Any) -> None:
    for (view,) in opened.native_connection.execute("SHOW TABLES").fetchall():
        opened.native_connection.execute(f"DROP VIEW IF EXISTS {opened.escape_column_name(view)}")


def read_through(dataset: dlt.Dataset, client: JobClientBase) -> None:
    """Have a dataset read through a client that has read its schemas already.

    dlt makes another one, and looks the whole configuration of the destination up again: a quarter
    of the time of opening a dataset and reading one small table. So it does still where the schema
    has another naming convention than the client, and dlt 1.27 for every dataset.
    """
    schema, used = dataset.schema, client.schema
    if _CLIENT in vars(dataset) and schema.naming.name() == used.naming.name():
        # as `Destination.client` does with the schema that it is given
        schema.naming.max_length = used.naming.max_length
        client.schema = schema
        setattr(dataset, _CLIENT, client)


def without_connections(dataset: dlt.Dataset) -> dict[str, Any]:
    """Return the attributes of a dataset for a copy of it, which connects itself.

    For pickling, too: dlt's clients cannot be pickled, and its schemas lose their naming.
    """
    clients = {"_sql_client", "_opened_sql_client", _CLIENT} & vars(dataset).keys()
    schemas = [schema.to_dict() for schema in dataset.schemas]
    anew = {"_schema_arg": schemas, "_schemas": {}, "_resolved": False}
    return {**vars(dataset), **dict.fromkeys(clients), **anew}


def restore_dataset(dataset: dlt.Dataset, attributes: dict[str, Any]) -> None:
    """Give a copy the attributes that `without_connections` has returned."""
    schemas: list[Any] = attributes["_schema_arg"]
    made = [Schema.from_dict(schema, validate_schema=False) for schema in schemas]
    vars(dataset).update({**attributes, "_schema_arg": made})


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
