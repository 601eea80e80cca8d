"""dlt's datasets: their clients, schemas, files and types."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import SqlClientBase, WithSchemas, WithSqlClient

from dlthub_project.dlt_internals.relations import query_in
from dlthub_project.dlt_internals.twins import Twin, read_by

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.schema.typing import TColumnSchema
    from duckdb import DuckDBPyConnection


_CLIENT = "_destination_client"


def open_destination(
    destination: AnyDestination, dataset_name: str, schema_name: str
) -> JobClientBase:
    """Return a client of a dataset at `destination`; a `with` block connects it."""
    from dlt.dataset.utils import get_destination_clients

    return get_destination_clients(
        schema=Schema(schema_name),
        destination=destination,
        destination_dataset_name=dataset_name,
    )[0]


def destination_of(dataset: dlt.Dataset) -> AnyDestination:
    """Return the destination of a dataset."""
    return dataset._destination


def make_dataset(destination: AnyDestination, dataset_name: str, schema_name: str) -> None:
    """Make an empty dataset with an empty schema, as a load without tables would."""
    client = open_destination(destination, dataset_name, schema_name)
    # dlt stores only a schema whose version has changed
    client.schema._bump_version()
    with client:
        client.initialize_storage()
        client.update_stored_schema()


def open_dataset(destination: AnyDestination, dataset_name: str, naming: str) -> JobClientBase:
    """Return a client of the dataset of this exact name, which is normalized already."""
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

    A destination without SQL gives one version without a name: the one that was stored last.

    Raises:
        DestinationUndefinedEntity: There is no version. Some destinations raise other errors.
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
    """Return the format of a table's files; None if the destination has no files for it yet.

    dlt can read a table only if all its files have one format.
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


ATTRIBUTES_OF_PLACE = (
    "_destination",
    "_destination_client",
    "_opened_sql_client",
    "_resolved",
    "_schemas",
    "_sql_client",
)
"""What a dataset has set on itself of the place where it was used last."""


ATTRIBUTE_OF_COLUMNS = "_schema"
"""Where a relation keeps its columns, once somebody has asked for them."""


def move(dataset: dlt.Dataset, destination: AnyDestination, *, is_of_pipeline: bool) -> None:
    """Have a dataset read from another destination, with the schemas that are stored there.

    Args:
        dataset: The dataset; an open connection of it is closed.
        destination: The destination that it reads from now on.
        is_of_pipeline: Whether its schemas came from a pipeline, and not from code.
    """
    state = vars(dataset)
    opened = state.get("_opened_sql_client")
    if opened is not None:
        opened.close_connection()
    schemas = state.get("_schema_arg")
    if is_of_pipeline:
        # by its name; several are found where they are stored
        schemas = schemas.name if isinstance(schemas, Schema) else None
    old: Any = state["_destination"]
    pipeline_name = old.config_params.get("pipeline_name")
    if pipeline_name and not destination.config_params.get("pipeline_name"):
        # its file may be named after the pipeline
        destination = copy.copy(destination)
        destination.config_params = {**destination.config_params, "pipeline_name": pipeline_name}
    known: dict[str, Any] = {"_schema_arg": schemas, "_schemas": {}, "_resolved": False}
    clients = {"_sql_client", "_opened_sql_client", _CLIENT} & state.keys()
    state.update(known, _destination=destination, **dict.fromkeys(clients))


def replace_schemas(dataset: dlt.Dataset, schemas: Sequence[Schema]) -> None:
    """Give a dataset other schemas. It keeps its client, and an open connection."""
    opened, client = dataset._opened_sql_client, vars(dataset).get(_CLIENT)
    dlt.Dataset.__init__(dataset, dataset._destination, dataset.dataset_name, schema=list(schemas))
    dataset._opened_sql_client = opened
    if isinstance(opened, WithSchemas):
        opened.set_schemas(dataset.schemas)
        _forget_views(opened)
    # other clients have made views of the earlier files
    if isinstance(client, SqlJobClientBase):
        read_through(dataset, client)


def _forget_views(opened: Any) -> None:
    for (view,) in opened.native_connection.execute("SHOW TABLES").fetchall():
        opened.native_connection.execute(f"DROP VIEW IF EXISTS {opened.escape_column_name(view)}")


def read_through(dataset: dlt.Dataset, client: JobClientBase) -> None:
    """Make a dataset read by a client that has read its schemas already.

    dlt alone makes another client, and looks up the whole configuration of the destination again.
    That is a quarter of the time of opening a dataset and reading one small table. dlt 1.29 still
    does so, and so does every dlt if client and schema have different naming conventions.
    """
    schema, used = dataset.schema, client.schema
    if _CLIENT in vars(dataset) and schema.naming.name() == used.naming.name():
        # as `Destination.client` does with the schema that it is given
        schema.naming.max_length = used.naming.max_length
        client.schema = schema
        setattr(dataset, _CLIENT, client)


def without_connections(dataset: dlt.Dataset) -> dict[str, Any]:
    """Return the attributes of a dataset for a copy, or a pickle, that opens its own connection.

    Nobody can pickle dlt's clients, and a pickled schema loses its naming convention.
    """
    clients = {"_sql_client", "_opened_sql_client", _CLIENT} & vars(dataset).keys()
    schemas = [schema.to_dict() for schema in dataset.schemas]
    anew = {"_schema_arg": schemas, "_schemas": {}, "_resolved": False}
    return {**vars(dataset), **dict.fromkeys(clients), **anew}


def restore_dataset(dataset: dlt.Dataset, attributes: dict[str, Any]) -> None:
    """Give a copy the attributes that `without_connections` returned."""
    schemas: list[Any] = attributes["_schema_arg"]
    made = [Schema.from_dict(schema, validate_schema=False) for schema in schemas]
    vars(dataset).update({**attributes, "_schema_arg": made})


class HeldDataset(dlt.Dataset):
    """A dataset that keeps its connection from the first query until `release`.

    Attributes:
        twin: The open database that it is read through while nothing is written to it; None if
            there is none.
    """

    twin: Twin | None = None

    @property
    def sql_client(self) -> SqlClientBase[Any]:
        """The client, with an open connection."""
        if self._opened_sql_client is None:
            # dlt 1.29 has a client close a connection that is not its own
            if self.twin is None or not hasattr(SqlClientBase, "owns_connection"):
                super().__enter__()
            else:
                self._open_by(self.twin)
        return self._opened_sql_client

    def _open_by(self, twin: Twin) -> None:
        from dlt.dataset.utils import get_destination_clients

        made: Any = get_destination_clients(
            schema=self.schema,
            destination=self._destination,
            destination_dataset_name=self.dataset_name,
        )[0]
        client = made.sql_client
        # as dlt opens one for a `with` block
        client.owns_connection = False
        read_by(client, twin)
        client.open_connection()
        self._opened_sql_client = client

    def release(self) -> None:
        """Close the connection; the next query opens it again."""
        if self._opened_sql_client is not None:
            super().__exit__(None, None, None)  # type: ignore[arg-type]  # dlt's hints are narrow

    def refresh(self) -> None:
        """Close the connection. The next access reads the schemas from the destination."""
        self.release()
        self.twin = None
        dlt.Dataset.__init__(self, self._destination, self.dataset_name)

    def __enter__(self) -> HeldDataset:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # an open connection belongs to this process
        return {**vars(self), "twin": None}

    def __exit__(self, *_: object) -> None:
        self.release()


def checkpoint(path: str) -> None:
    """Write a DuckDB database into its file. A part of it may be in a log beside it."""
    import duckdb

    with duckdb.connect(path) as connection:
        connection.execute("CHECKPOINT")


# dlt or the destination converts these without loss, or refuses to
_LEFT_ALONE = ("text", "json", "binary", "wei")


def columns_there(pipeline: dlt.Pipeline, schema: Schema, table: str) -> dict[str, TColumnSchema]:
    """Return the columns that a table has in the database of a pipeline; none if it is in files."""
    client = pipeline._get_destination_clients(schema)[0]
    if not isinstance(client, SqlJobClientBase):
        return {}
    with client:
        ((_, columns),) = client.get_storage_tables([table])
    return dict(columns)


def columns_of_arrow(schema: Any) -> dict[str, TColumnSchema]:
    """Return the columns of an Arrow schema as dlt has them, less those whose type it lacks.

    Args:
        schema: A `pyarrow.Schema`.
    """
    from dlt.common.libs.pyarrow import UnsupportedArrowTypeException, get_column_type_from_py_arrow

    columns: dict[str, Any] = {}
    for field in schema:
        with suppress(UnsupportedArrowTypeException):
            columns[field.name] = {"name": field.name, **get_column_type_from_py_arrow(field.type)}
    return columns


def arrow_type(column: TColumnSchema) -> Any:
    """Return the Arrow type of a dlt column."""
    from dlt.common.destination import DestinationCapabilitiesContext
    from dlt.common.libs.pyarrow import get_py_arrow_datatype

    caps = DestinationCapabilitiesContext.generic_capabilities()
    return get_py_arrow_datatype(column, caps, "UTC")


def narrower_arrow_type(column: TColumnSchema, kind: Any) -> Any:
    """Return the Arrow type of a dlt column, if it may lose a part of a value of type `kind`.

    None if it loses nothing, or if the column has no type yet.
    """
    from dlt.common.libs.pyarrow import UnsupportedArrowTypeException, get_column_type_from_py_arrow

    wanted = column.get("data_type")
    if wanted is None or wanted in _LEFT_ALONE:
        return None
    try:
        found = get_column_type_from_py_arrow(kind)
    except UnsupportedArrowTypeException:
        # dlt raises the better error
        return None
    if found.get("data_type") in (None, "json", "text"):
        return None
    if found.get("data_type") == wanted and (
        wanted != "decimal" or (found.get("scale") or 0) <= (column.get("scale") or 0)
    ):
        return None
    return arrow_type(column)


class FileTables:
    """The tables of a filesystem dataset (also Delta and Iceberg) as views of a DuckDB database.

    In a `with` block, DuckDB has the credentials to read the files. Nothing stores them.
    """

    def __init__(self, dataset: dlt.Dataset, connection: DuckDBPyConnection) -> None:
        from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
        from dlt.destinations.impl.filesystem.sql_client import FilesystemSqlClient

        self._schema = f"files_of_{dataset.dataset_name}"
        client: Any = dataset.destination_client
        self._client = FilesystemSqlClient(
            client, dataset_name=self._schema, cache_db=DuckDbCredentials(connection)
        )
        self._client.set_schemas(dataset.schemas)

    def query(self, relation: dlt.Relation) -> str:
        """Return the query of a relation of the dataset, for DuckDB to run on views of the files.

        This makes the views; they have the present files.
        """
        import sqlglot

        query = sqlglot.parse_one(relation.to_sql(), dialect="duckdb")
        names = {table.name: table.name for table in query.find_all(sqlglot.exp.Table)}
        self._client.create_views_for_tables(names)
        return query_in(relation, db=self._schema)

    def __enter__(self) -> FileTables:
        self._client.open_connection()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close_connection()


def file_tables(dataset: dlt.Dataset, connection: DuckDBPyConnection) -> FileTables | None:
    """Return the views of a dataset that is in files; None for any other dataset."""
    from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

    client = dataset.destination_client
    if not isinstance(client, FilesystemClient) or not isinstance(client, WithSqlClient):
        return None
    return FileTables(dataset, connection)


def empty_arrow_table(dataset: dlt.Dataset, columns: Mapping[str, Any]) -> Any:
    """Return an Arrow table without rows that has the types of rows read from `dataset`."""
    from dlt.common.libs.pyarrow import columns_to_arrow

    capabilities = dataset.sql_client.capabilities
    return columns_to_arrow(dict(columns), capabilities, "UTC").empty_table()
