"""dlt's datasets as tables of another DuckDB database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dlt
from dlt.destinations.sql_client import WithSqlClient

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def is_of_dataset(relation: dlt.Relation, dataset: dlt.Dataset) -> bool:
    """Tell whether a relation was made of this very object."""
    return relation._dataset is dataset


def in_catalog(relation: dlt.Relation, catalog: str) -> str:
    """Return the query of a relation of a DuckDB destination, for where that is attached."""
    return _moved(relation, catalog=catalog)


def _moved(relation: dlt.Relation, **place: str) -> str:
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect="duckdb")
    for table in query.find_all(sqlglot.exp.Table):
        for part, name in place.items():
            table.set(part, sqlglot.exp.to_identifier(name, quoted=True))
    return query.sql(dialect="duckdb")


class FileTables:
    """The tables of a filesystem dataset (also Delta and Iceberg) as views of a DuckDB database.

    While it is entered, DuckDB has the credentials to read the files; they are stored nowhere.
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
        """Return the query of a relation of the dataset, which DuckDB runs on its views.

        The views are made, and have the files that there are now.
        """
        import sqlglot

        query = sqlglot.parse_one(relation.to_sql(), dialect="duckdb")
        names = {table.name: table.name for table in query.find_all(sqlglot.exp.Table)}
        self._client.create_views_for_tables(names)
        return _moved(relation, db=self._schema)

    def __enter__(self) -> FileTables:
        self._client.open_connection()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close_connection()


def file_tables(dataset: dlt.Dataset, connection: DuckDBPyConnection) -> FileTables | None:
    """Return what makes views of the files of a dataset; None for one that is not in files."""
    from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

    client = dataset.destination_client
    if not isinstance(client, FilesystemClient) or not isinstance(client, WithSqlClient):
        return None
    return FileTables(dataset, connection)


def empty_arrow_table(dataset: dlt.Dataset, columns: Mapping[str, Any]) -> Any:
    """Return an Arrow table without rows, of the types that those of `dataset` are read with."""
    from dlt.common.libs.pyarrow import columns_to_arrow

    capabilities = dataset.sql_client.capabilities
    return columns_to_arrow(dict(columns), capabilities, "UTC").empty_table()


def mark_restored(pipeline: dlt.Pipeline) -> None:
    """Have the next run of a pipeline not restore its state: it was just done."""
    pipeline._state_restored = True
