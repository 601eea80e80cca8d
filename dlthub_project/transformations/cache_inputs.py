"""The inputs of a cache: their tables and loads, and how these get into the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dlt
import duckdb
from sqlglot import exp

from dlthub_project.dlt_internals import datasets, relations
from dlthub_project.errors import DatasetNotLoaded, ProjectError, known_names
from dlthub_project.sandbox import read_elsewhere
from dlthub_project.transformations.cache_database import attach, described
from dlthub_project.transformations.declarations import CacheInput

if TYPE_CHECKING:
    from dlt.common.schema import Schema
    from dlt.common.schema.typing import TTableSchema

    from dlthub_project.entities import EntryPosition

# how many rows are copied at a time
_CHUNK_ROWS = 10_000
# by default, DuckDB fills 80 % of the machine's memory with rows that it has written already
_MEMORY = "128MB"


class InputDataset:
    """One input of a cache, at its destination.

    Attributes:
        declared: Its entry in the manifest.
        dataset: The dataset.
        tables: The names of its tables, and those that they get in the cache.
    """

    def __init__(self, declared: CacheInput, dataset: dlt.Dataset, own_schema: str) -> None:
        """Find its tables.

        Args:
            declared: Its entry in the manifest.
            dataset: The dataset.
            own_schema: The schema of the cache's outputs. A table that the cache writes itself is
                no input unless the manifest names it.

        Raises:
            DatasetNotLoaded: The dataset lacks tables that the manifest names.
        """
        self.declared = declared
        self.dataset = dataset
        self._schema_of: dict[str, Schema] = {}
        for schema in dataset.schemas:
            if schema.name != own_schema or declared.tables:
                for name in schema.data_table_names(seen_data_only=True):
                    self._schema_of.setdefault(name, schema)
        self.tables = dict(declared.tables or {name: name for name in self._schema_of})
        missing = [name for name in self.tables if name not in self._schema_of]
        if missing:
            listed = ", ".join(f"`{name}`" for name in missing)
            raise DatasetNotLoaded(
                f"Dataset `{declared.dataset}` has no table {listed} with data.",
                known_names(missing[0], self._schema_of),
            )

    def completed_loads(self) -> list[tuple[str, str]]:
        """Return the completed loads of the dataset, each with its schema."""
        normalize = self.dataset.schema.naming.normalize_identifier
        columns = [normalize(name) for name in ("load_id", "schema_name", "status")]
        loads = self.dataset.loads_table().select(*columns).fetchall()
        return [(str(row[0]), str(row[1])) for row in loads if row[2] == 0]

    def load_ids(self, completed: Iterable[tuple[str, str]]) -> list[str]:
        """Return the loads of the schemas that have the tables, the oldest first.

        Args:
            completed: The loads that `completed_loads` has returned.
        """
        schemas = {self._schema_of[table].name for table in self.tables}
        return sorted(load for load, schema in completed if schema in schemas)

    def rows(self, table: str, loads: Sequence[str] | None) -> dlt.Relation:
        """Return the rows of a table that these loads have written; all rows for None.

        Raises:
            ProjectError: The rows do not tell which load has written them.
        """
        if loads is None:
            return self.dataset.table(table)
        schema = self._schema_of[table]
        return self.dataset(self._of_loads(schema, table, loads, list(self.columns(table))))

    def untold(self) -> list[str]:
        """Return the tables whose rows do not tell which load has written them."""
        if not self.declared.is_incremental:
            return []
        return [table for table in self.tables if not self._tells_load(table)]

    def columns(self, table: str) -> Mapping[str, Any]:
        """Return the columns of a table with dlt's hints."""
        return self.dataset.table(table).columns_schema

    def described(self, table: str) -> TTableSchema:
        """Return the description of a table under its name in the cache."""
        source = self._schema_of[table].tables[table]
        columns = {n: dict(c) for n, c in source["columns"].items() if n in self.columns(table)}
        made = described(self.tables[table], columns)  # type: ignore[arg-type]  # as copied
        parent = source.get("parent")
        if parent in self.tables:
            made["parent"] = self.tables[parent]
        if "description" in source:
            made["description"] = source["description"]
        return made

    def _tells_load(self, table: str) -> bool:
        schema = self._schema_of[table]
        while parent := schema.tables[table].get("parent"):
            table = parent
        load_id = schema.naming.normalize_identifier("_dlt_load_id")
        return load_id in schema.tables[table]["columns"]

    def _of_loads(
        self, schema: Schema, table: str, loads: Sequence[str], columns: Sequence[str]
    ) -> exp.Select:
        """Return a query for the rows of some loads. Nested rows have their parent's load."""
        tables = schema.tables
        normalize = schema.naming.normalize_identifier
        load_id, row_id, parent_id = map(normalize, ("_dlt_load_id", "_dlt_id", "_dlt_parent_id"))
        query = exp.select(*(exp.column(name, quoted=True) for name in columns)).from_(
            exp.Table(this=exp.to_identifier(table, quoted=True))
        )
        parent = tables[table].get("parent")
        if parent:
            above = self._of_loads(schema, parent, loads, [row_id])
            return query.where(exp.column(parent_id, quoted=True).isin(query=above))
        if not self._tells_load(table):
            raise ProjectError(
                f"The rows of `{self.declared.dataset}.{table}` do not say which load has brought "
                "them, because they were loaded as frames or Arrow. New rows cannot be told.",
                "Load them with `normalize.parquet_normalizer.add_dlt_load_id` set to true, or "
                "write `incremental: false` at this input, or `write_disposition: replace` at the "
                "outputs, or none.",
            )
        ids = [exp.Literal.string(load) for load in loads]
        # IN takes no empty list: no load has the id ""
        return query.where(
            exp.column(load_id, quoted=True).isin(*(ids or [exp.Literal.string("")]))
        )


def check_names(inputs: Iterable[InputDataset], cache: str, position: EntryPosition) -> None:
    """Make sure that no two inputs give a table of a cache the same name.

    Raises:
        ProjectError: Two do.
    """
    owners: dict[str, str] = {}
    for source in inputs:
        for name, in_cache in source.tables.items():
            owner = f"{source.declared.dataset}.{name}"
            if other := owners.get(in_cache.lower()):
                raise ProjectError(
                    f"{position}: {other} and {owner} are both to be table `{in_cache}` of cache "
                    f"`{cache}`.",
                    "Give one of them another name below `tables` of its input: "
                    f"`tables: {{{name}: {source.declared.dataset}_{in_cache}}}`.",
                )
            owners[in_cache.lower()] = owner


def loads_of(inputs: Iterable[InputDataset]) -> Iterator[list[str]]:
    """Yield the loads of each input. The loads of one dataset are read only once.

    A load may end between two reads. The plan would then count it as seen, although only one of two
    inputs offers it.
    """
    completed: dict[str, list[tuple[str, str]]] = {}
    for source in inputs:
        dataset = source.declared.dataset
        if dataset not in completed:
            completed[dataset] = source.completed_loads()
        yield source.load_ids(completed[dataset])


class InputTables:
    """Puts tables of inputs into the database of a cache.

    A table of a DuckDB file becomes a view of the attached file. A table in files becomes a view of
    these files. All others are copied.

    Attributes:
        attached: The attached DuckDB files, by alias.
        viewed: The datasets in files.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, stack: ExitStack) -> None:
        """Put nothing into the database yet.

        Args:
            connection: A connection to the database.
            stack: Closes the connections that are opened later.
        """
        self._connection = connection
        self._stack = stack
        self._scanners: dict[str, datasets.FileTables] = {}
        self._aliases: dict[str, str | None] = {}
        self.attached: dict[str, str] = {}

    @property
    def viewed(self) -> list[str]:
        """The datasets in files that views read."""
        return list(self._scanners)

    def put(
        self, source: InputDataset, table: str, rows: dlt.Relation, target: str, *, copy: bool
    ) -> None:
        """Put `rows` of `table` into the table `target`.

        Args:
            source: The dataset of `table`.
            table: Its name.
            rows: The rows.
            target: The quoted name of the new table.
            copy: Whether the rows are copied although a view would do: only steps can read views.
        """
        read_elsewhere(source.dataset.dataset_name)
        kind = "TABLE" if copy else "VIEW"
        alias = self._alias(source)
        if alias is not None:
            query = relations.query_in(rows, catalog=alias)
            self._connection.execute(f"CREATE {kind} {target} AS {query}")
            return
        scanner = self.scanner(source)
        if scanner is not None:
            query = scanner.query(rows)
            self._connection.execute(f"CREATE {kind} {target} AS {query}")
            return
        self._copy(source, table, rows, target)

    def scanner(self, source: InputDataset) -> datasets.FileTables | None:
        """Return the views of a dataset that is in files; None for any other dataset."""
        name = source.declared.dataset
        if name not in self._scanners:
            found = datasets.file_tables(source.dataset, self._connection)
            if found is None:
                return None
            self._scanners[name] = self._stack.enter_context(found)
        return self._scanners[name]

    def _alias(self, source: InputDataset) -> str | None:
        """Return the alias of a dataset's DuckDB file; None if there is no file to attach."""
        file = datasets.local_database(source.dataset.destination_client)
        if file is None:
            return None
        if file not in self._aliases:
            alias = f"input_{len(self.attached) + 1}"
            try:
                attach(self._connection, alias, file)
                self._aliases[file] = alias
                self.attached[alias] = file
            except duckdb.BinderException:
                # this process has the file open, and DuckDB opens a file once: copy the rows
                self._aliases[file] = None
        return self._aliases[file]

    def _copy(self, source: InputDataset, table: str, rows: dlt.Relation, target: str) -> None:
        empty = datasets.empty_arrow_table(source.dataset, source.columns(table))
        self._connection.register("_copied_rows", empty)
        self._connection.execute(f"CREATE TABLE {target} AS SELECT * FROM _copied_rows")
        self._connection.unregister("_copied_rows")
        self._connection.execute(f"SET memory_limit = '{_MEMORY}'")
        for page in rows.iter_arrow(chunk_size=_CHUNK_ROWS):
            self._connection.register("_copied_rows", page)
            self._connection.execute(f"INSERT INTO {target} BY NAME SELECT * FROM _copied_rows")
            self._connection.unregister("_copied_rows")
        self._connection.execute("RESET memory_limit")
