"""The DuckDB database of a cache: its tables, and how dlt describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import duckdb
import pyarrow
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.common.schema.utils import new_table

from dlthub_project.dlt_internals import datasets, relations
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlt.common.data_types import TDataType
    from dlt.common.schema.typing import TTableSchema, TTableSchemaColumns

    from dlthub_project.transformations.load_plan import Offer

# DuckDB has these types, and Arrow lacks them
_DATA_TYPES: dict[str, TDataType] = {"JSON": "json"}


def literal(text: str) -> str:
    """Return a text as a literal in DuckDB's SQL."""
    return "'{}'".format(text.replace("'", "''"))


@contextmanager
def opened(path: Path, attached: Mapping[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to a database in a block, and attach others to it.

    Args:
        path: The file.
        attached: The files to attach, by alias.
    """
    with duckdb.connect(str(path)) as connection:
        for alias, file in attached.items():
            attach(connection, alias, file)
        yield connection


def attach(connection: duckdb.DuckDBPyConnection, alias: str, file: str) -> None:
    """Attach a database for reading.

    Raises:
        duckdb.BinderException: This process has it open already.
        duckdb.IOException: Another process writes to it.
    """
    connection.execute(f"ATTACH IF NOT EXISTS {literal(file)} AS {quoted(alias)} (READ_ONLY)")


class CacheTables:
    """The tables of one offer in the open database, which an engine reads and makes.

    Attributes:
        path: The database's file.
        attached: The DuckDB files that its views read, by alias.
        connection: A connection in which `schema` is the default one.
        schema: The schema of the database that holds the tables.
        dataset: The tables as a dataset of dlt.
        inputs: The names of the input tables.
    """

    def __init__(
        self,
        path: Path,
        attached: Mapping[str, str],
        connection: duckdb.DuckDBPyConnection,
        offer: Offer,
    ) -> None:
        self.path = path
        self.attached = attached
        self.connection = connection
        self.schema = offer.schema
        self.inputs = offer.inputs
        self._tables = offer.tables
        self._offer = offer
        connection.execute(f"USE {quoted(self.schema)}")
        self.dataset = dataset_of(path, offer)

    def drop(self, table: str) -> None:
        """Remove a table that an earlier transformation made."""
        self.connection.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
        self._tables.pop(table, None)

    def create(self, table: str, query: str) -> None:
        """Make a table of the rows that a query in DuckDB's SQL returns."""
        self.connection.execute(f"CREATE OR REPLACE TABLE {quoted(table)} AS\n{query}\n")
        self.note(table)

    def add(self, table: str, rows: Any) -> None:
        """Add rows to a table; the first rows make it.

        Args:
            table: Its name.
            rows: A relation, a frame, anything with Arrow's interface, or a list of mappings.

        Raises:
            ProjectError: The rows are something else.
        """
        hints: TTableSchemaColumns = {}
        if isinstance(rows, dlt.Relation) and relations.is_of_dataset(rows, self.dataset):
            hints = rows.columns_schema
            self._insert(table, rows.to_sql())
        else:
            for page in _arrow(table, rows):
                self.connection.register("_added_rows", page)
                self._insert(table, "SELECT * FROM _added_rows")
                self.connection.unregister("_added_rows")
        if self._has(table):
            self.note(table, hints)

    def note(self, table: str, hints: TTableSchemaColumns | None = None) -> None:
        """Describe a table that the database has to dlt, with its present columns.

        Args:
            table: Its name.
            hints: Further hints of the columns.
        """
        columns = _columns_of(self.connection, table)
        for name, column in columns.items():
            known = {**self._known(table, name), **(hints or {}).get(name, {})}
            kept = {k: v for k, v in known.items() if k.startswith("x-") or k == "description"}
            # a column may have hints that dlt's type does not list
            columns[name] = {**kept, **column}  # type: ignore[typeddict-item]
        self._tables[table] = described(table, columns)
        datasets.replace_schemas(self.dataset, [self._offer.dlt_schema()])

    def _known(self, table: str, column: str) -> Mapping[str, Any]:
        return self._tables.get(table, {"columns": {}})["columns"].get(column, {})

    def _insert(self, table: str, query: str) -> None:
        if not self._has(table):
            self.connection.execute(f"CREATE TABLE {quoted(table)} AS {query}")
            return
        known = {row[0].lower() for row in self._describe(quoted(table))}
        for name, type_ in self._describe(f"({query})"):
            if name.lower() not in known:
                self.connection.execute(
                    f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {type_}"
                )
        self.connection.execute(f"INSERT INTO {quoted(table)} BY NAME {query}")

    def _describe(self, source: str) -> list[tuple[str, str]]:
        found = self.connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        return [(row[0], row[1]) for row in found]

    def _has(self, table: str) -> bool:
        query = (
            "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() "
            "AND schema_name = ? AND lower(table_name) = lower(?)"
        )
        return self.connection.execute(query, [self.schema, table]).fetchone() is not None


def dataset_of(path: Path, offer: Offer) -> dlt.Dataset:
    """Return the tables of an offer as a dataset of dlt."""
    # no destination of a project has this name
    destination = dlt.destinations.duckdb(str(path), destination_name=f"{path.stem}_database")
    return dlt.dataset(destination, offer.schema, schema=offer.dlt_schema())


def described(table: str, columns: TTableSchemaColumns) -> TTableSchema:
    """Return a table in dlt's words, with the mark that it has rows."""
    made = new_table(table, columns=list(columns.values()))
    made["x-normalizer"] = {"seen-data": True}
    return made


def _columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> TTableSchemaColumns:
    relation = connection.sql(f"SELECT * FROM {quoted(table)} LIMIT 0")
    columns = py_arrow_to_table_schema_columns(relation.to_arrow_table().schema)
    for name, type_ in zip(relation.columns, relation.types, strict=True):
        if str(type_) in _DATA_TYPES:
            columns[name]["data_type"] = _DATA_TYPES[str(type_)]
    for column in columns.values():
        # the types of a query do not tell more
        column["nullable"] = True
    return columns


def _arrow(table: str, rows: Any) -> Iterator[Any]:
    """Yield rows as Arrow tables or readers."""
    if isinstance(rows, dlt.Relation):
        yield from rows.iter_arrow(chunk_size=100_000)
    elif isinstance(rows, pyarrow.RecordBatch):
        yield pyarrow.Table.from_batches([rows])
    elif isinstance(rows, pyarrow.Table | pyarrow.RecordBatchReader):
        yield rows
    elif type(rows).__module__.partition(".")[0] == "pandas":
        yield pyarrow.Table.from_pandas(rows, preserve_index=False)
    elif hasattr(rows, "__arrow_c_stream__"):
        yield pyarrow.RecordBatchReader.from_stream(rows)
    elif isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows):
        yield pyarrow.Table.from_pylist(rows)
    else:
        raise ProjectError(
            f"Table `{table}` cannot be made of {type(rows).__name__}.",
            "Yield a relation of the dataset, an Arrow table or a frame.",
        )
