"""The rows of tables and queries for tests: in a stable order, nested, or as tuples."""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity

from dlthub_project.dlt_internals.datasets import destination_of
from dlthub_project.dlt_internals.relations import table_of
from dlthub_project.dlt_internals.sql_clients import connected
from dlthub_project.errors import known_names
from pytest_dlthub.assertions.equality import Rows
from pytest_dlthub.assertions.records import (
    by_all_columns,
    is_dlt_name,
    orders,
    records_of,
    records_of_sql,
    sort_key,
    without_dlt_columns,
)
from pytest_dlthub.assertions.where_values import may_equal, with_values
from pytest_dlthub.data_coverage import reads

if TYPE_CHECKING:
    import dlt
    from dlt.common.schema import Schema

Record = dict[str, Any]
_ORDER_BY = re.compile(r"\border\s+by\b", re.IGNORECASE)
# a scan of one of these returns the rows of a load in the order of the load
_TELLS_ORDER = ("duckdb", "motherduck")
# PostgreSQL scans tables of 8 MB and more in parallel; a row has at most 2 kB
_SCANNED_IN_PARALLEL = 4000


@reads.of_rows_of_relation
def table_rows(relation: dlt.Relation) -> Rows:
    """Return the rows of `relation` as mappings, without dlt's own `_dlt_*` columns.

    Values are the same from every destination: JSON columns are objects, binary ones bytes,
    timestamps in UTC. The order is that of the query; a query without one still gets a stable
    order, see `PipelineRun.rows`.
    """
    place = table_of(relation)
    is_ordered = relation.sqlglot_expression.args.get("order")
    if place is None:
        records = records_of(relation) if is_ordered else by_all_columns(records_of(relation))
        return Rows(map(without_dlt_columns, records))
    reader = TableReader(*place)
    records = records_of(relation) if is_ordered else reader.records(relation)
    return reader.as_rows(map(without_dlt_columns, records))


def rows_of(relation: dlt.Relation, records: Iterable[Record]) -> Rows:
    """Return rows that come from a relation, with its table and key if it has only one table."""
    place = table_of(relation)
    return Rows(records) if place is None else TableReader(*place).as_rows(records)


def sql_rows(dataset: dlt.Dataset, query: str) -> Rows:
    """Return the rows of a query at the destination of `dataset`.

    Args:
        dataset: The dataset; names of its tables need no qualifier.
        query: The query, in the SQL of the destination.

    Returns:
        The rows with all their columns, in the order of the query if it has an ORDER BY, else by
        all columns.
    """
    with connected(dataset.sql_client) as client:
        _, records = records_of_sql(client, query)
    return Rows(records if _ORDER_BY.search(query) else by_all_columns(records))


class TableReader:
    """Reads one table of a dataset: dlt's schema has it, or only the destination does."""

    def __init__(self, dataset: dlt.Dataset, table: str) -> None:
        """Create the reader.

        Args:
            dataset: The dataset.
            table: The table, or a view at the destination.
        """
        self._dataset = dataset
        self._table = table
        found = (schema for schema in dataset.schemas if table in schema.tables)
        self._schema: Schema = next(found, dataset.schema)
        self._hints: Mapping[str, Any] = self._schema.tables.get(table, {})
        self._columns: Mapping[str, Any] = {
            name: column
            for name, column in self._hints.get("columns", {}).items()
            if column.get("data_type")
        }

    @property
    def place(self) -> tuple[str, str]:
        """The names of the dataset and the table."""
        return self._dataset.dataset_name, self._table

    @property
    def is_known(self) -> bool:
        """Whether dlt's schema has the table."""
        return bool(self._hints)

    def unknown(self) -> ValueError:
        """Return the error for a table that neither dlt nor the destination has."""
        tables = [name for schema in self._dataset.schemas for name in schema.data_table_names()]
        return ValueError(
            f"There is no table `{self._table}` in the dataset. {known_names(self._table, tables)}"
        )

    def columns(self) -> dict[str, str]:
        """Return dlt's data types by column, without dlt's own columns.

        Raises:
            ValueError: dlt's schema has no such table.
        """
        if not self.is_known:
            raise self.unknown()
        types = {name: column["data_type"] for name, column in self._columns.items()}
        return {name: kind for name, kind in types.items() if not is_dlt_name(name)}

    @reads.of_rows_of_table
    def rows(
        self,
        names: Sequence[str] = (),
        *,
        columns: Sequence[str] | None = None,
        where: Any = None,
        order_by: Any = None,
        nested: bool = False,
        current: bool = False,
        dlt_ids: bool = False,
        is_extracted: bool = False,
    ) -> Rows:
        """Return the rows; see `PipelineRun.rows`.

        `is_extracted` says that a run has extracted a resource of this name.
        """
        if names and columns is not None:
            raise TypeError("rows: name the columns, for tuples, or give columns=, for mappings")
        if isinstance(columns, str) or not all(
            isinstance(n, str) for n in (*names, *(columns or ()))
        ):
            raise TypeError('rows: columns are named rows(table, "a", "b") or columns=["a", "b"]')
        asked = None if nested or not (names or columns) else [*names, *(columns or ())]
        asked = asked and [*asked, *(name for name, _ in orders(order_by))]
        with connected(self._dataset.sql_client) as client:
            view = None if self._columns else self._view(client, where)
            if view and not nested and not current:
                known, records = view
            elif view and self.is_known:
                raise ValueError(
                    f"rows: other code, such as Dagster, has taken the types of `{self._table}` "
                    "out of the schema: read it without nested= and current="
                )
            elif self.is_known:
                self._check(asked or (), self._columns)
                known, records = list(self._columns), self._filtered(where, current, asked)
            elif is_extracted:
                # the resource has yielded nothing yet, so that dlt's schema does not have the table
                return Rows(table=self._table)
            else:
                raise self.unknown()
            if nested:
                known += self._children().values()
                records = self._with_children(records, dlt_ids)
        for name, descending in reversed(orders(order_by)):
            self._check([name], known)
            records.sort(key=lambda record: sort_key(record[name]), reverse=descending)
        if names:
            self._check(names, known)
            tuples = (tuple(record[name] for name in names) for record in records)
            keys = self._keys()
            key = keys if {*keys} <= {*names} else ()
            return Rows(tuples, table=self._table, key=key, names=names)
        if columns is not None:
            self._check(columns, known)
            return self.as_rows({name: record[name] for name in columns} for record in records)
        return self.as_rows(records if dlt_ids else map(without_dlt_columns, records))

    def as_rows(self, records: Iterable[Record]) -> Rows:
        """Return rows of the table, with its key if they have all of its columns."""
        found = Rows(records, table=self._table)
        keys = self._keys()
        if found and found[0].keys() >= set(keys):
            found.key = tuple(keys)
        return found

    def records(self, relation: dlt.Relation) -> list[Record]:
        """Return the rows of a relation of the table, which may filter it, in the table's order."""
        with connected(self._dataset.sql_client):
            return self._ordered(records_of(relation))

    def _filtered(
        self, where: Any = None, current: bool = False, asked: Iterable[str] | None = None
    ) -> list[Record]:
        """Return rows: with all columns, or the columns asked for and those that sort them."""
        valid_to = self._column_with("x-valid-to")
        if current and not valid_to:
            raise ValueError(f"Table `{self._table}` has no history: its strategy is not scd2")
        if not self._columns:
            # the resource has yielded nothing yet
            return []
        relation = self._dataset.table(self._table)
        for condition in self._conditions(where):
            relation = relation.where(*condition)
        if asked is not None:
            own = ("_dlt_load_id", "_dlt_parent_id", "_dlt_list_idx")
            compared = where if isinstance(where, Mapping) else ()
            needed = {*asked, *compared, *self._keys(), *map(self._own, own), valid_to}
            relation = relation.select(*(name for name in self._columns if name in needed))
        try:
            records = self.records(relation)
        except DestinationUndefinedEntity:
            if self._table in self._schema.data_table_names(seen_data_only=True):
                # something has dropped it
                raise
            records = []
        if isinstance(where, Mapping):
            records = with_values(records, where, self._columns)
        if current:
            active = self._columns[str(valid_to)].get("x-active-record-timestamp")
            records = [row for row in records if _is_active(row[str(valid_to)], active)]
        return records

    def _view(self, client: Any, where: Any) -> tuple[list[str], list[Record]] | None:
        """Return columns and rows of a view at the destination; None if there is no such view."""
        query = f"SELECT * FROM {client.make_qualified_table_name(self._table)}"
        if where is not None and not isinstance(where, tuple | Mapping):
            query += f" WHERE {where}"
        try:
            names, records = records_of_sql(client, query)
        except DestinationUndefinedEntity:
            return None
        if isinstance(where, tuple):
            raise TypeError("rows: dlt does not know the view; give where= as SQL text")
        if isinstance(where, Mapping):
            self._check(where, names)
            records = with_values(records, where, {})
        return names, by_all_columns(records)

    def _conditions(self, where: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of dlt's `Relation.where` for the value of `where`."""
        if not isinstance(where, tuple | Mapping):
            yield from () if where is None else [(where,)]
            return
        if isinstance(where, Mapping):
            self._check(where, self._columns)
            # SQL spells other values in other ways: compare those after reading
            simple = (str, int, type(None))
            pairs = [
                (name, "eq", value)
                for name, value in where.items()
                if isinstance(value, simple) and may_equal(self._columns[name], value)
            ]
        else:
            pairs = [where]
        for condition in pairs:
            if len(condition) != 3:
                raise TypeError(f"rows: where={where!r} is no column, operator and value")
            name, operator, value = condition
            self._check([name], self._columns)
            if isinstance(value, bytes | Mapping):
                raise TypeError(f"rows: where={{{name!r}: …}} compares JSON and binary values")
            if value is not None:
                yield condition
            elif operator in ("eq", "ne"):
                import sqlglot

                # in SQL, nothing equals null
                is_null = sqlglot.exp.column(name, quoted=True).is_(sqlglot.exp.null())
                yield (is_null if operator == "eq" else is_null.not_(),)
            else:
                raise TypeError(f"rows: where={where!r}: null is neither more nor less than others")

    def _check(self, names: Iterable[str], known: Iterable[str]) -> None:
        for name in names:
            if name not in known:
                told = [column for column in known if not is_dlt_name(column)]
                raise ValueError(
                    f"Table `{self._table}` has no column `{name}`. {known_names(name, told)}"
                )

    def _column_with(self, hint: str) -> str | None:
        return next((name for name, column in self._columns.items() if column.get(hint)), None)

    def _own(self, name: str) -> str:
        return str(self._schema.naming.normalize_identifier(name))

    def _ordered(self, records: list[Record]) -> list[Record]:
        """Sort rows of the table, all or some, into the stable order."""
        if len(records) < 2:
            return records
        parent_id, index = self._own("_dlt_parent_id"), self._own("_dlt_list_idx")
        if self._hints.get("parent") and {parent_id, index} <= records[0].keys():
            places = self._places_of_parents()
            last = len(places)
            records = by_all_columns(records)
            records.sort(key=lambda row: (places.get(row[parent_id], last), row[index]))
            return records
        load_id = self._own("_dlt_load_id")
        by = [name for name in (*self._keys(), load_id) if name in records[0]]
        keys = {id(row): tuple(sort_key(row[name]) for name in by) for row in records}
        is_settled = len(set(keys.values())) == len(records)
        if not is_settled and not self._is_as_loaded(len(records), load_id in records[0]):
            records = by_all_columns(records)
        records.sort(key=lambda row: keys[id(row)])
        return records

    def _keys(self) -> list[str]:
        columns = self._columns.items()
        keys = [name for name, column in columns if column.get("primary_key")]
        return keys or [name for name, column in columns if column.get("merge_key")]

    def _is_as_loaded(self, count: int, has_loads: bool) -> bool:
        """Tell whether a scan returns the rows of a load in the order of the load."""
        destination = str(destination_of(self._dataset).destination_type)
        # joins and windows of a merge lose the order, and so do Delta and Iceberg
        if self._hints.get("write_disposition") == "merge" or self._hints.get("table_format"):
            return False
        if destination.endswith("filesystem"):
            # the files of different loads have no order
            return has_loads
        if destination.endswith("postgres"):
            return count <= _SCANNED_IN_PARALLEL
        return destination.endswith(_TELLS_ORDER)

    def _places_of_parents(self) -> dict[Any, int]:
        parent = TableReader(self._dataset, self._hints["parent"])
        rows = parent._filtered()
        row_id = self._own("_dlt_id")
        return {row[row_id]: place for place, row in enumerate(rows) if row_id in row}

    def _with_children(self, records: list[Record], dlt_ids: bool) -> list[Record]:
        """Put the rows of nested tables into their parents, as lists under the field's name."""
        row_id, parent_id = self._own("_dlt_id"), self._own("_dlt_parent_id")
        index = self._own("_dlt_list_idx")
        for name, field in self._children().items():
            child = TableReader(self._dataset, name)
            rows = child._unordered()
            rows.sort(key=lambda row: row[index])
            children: dict[Any, list[Any]] = defaultdict(list)
            for row, item in zip(rows, child._items(rows, dlt_ids), strict=True):
                children[row[parent_id]].append(item)
            for record in records:
                found = children.get(record.get(row_id), [])
                if found or record.get(field) is None:
                    record[field] = found
        return records

    def _children(self) -> dict[str, str]:
        """Return the source's fields that became nested tables, by table."""
        return {
            name: name.removeprefix(self._table + self._schema.naming.PATH_SEPARATOR)
            for name, hints in self._schema.tables.items()
            if hints.get("parent") == self._table
        }

    def _unordered(self) -> list[Record]:
        if not self._columns:
            return []
        return records_of(self._dataset.table(self._table))

    def _items(self, rows: list[Record], dlt_ids: bool) -> list[Any]:
        """Return the item that the source yielded for each row: a mapping, a value or a list."""
        own = [name for name in self._columns if not is_dlt_name(name)]
        rows = self._with_children(rows, dlt_ids)
        fields = list(self._children().values())
        if dlt_ids:
            return rows
        if own and not fields and all(name.split("__v_")[0] == "value" for name in own):
            values = ([row[name] for name in own if row[name] is not None] for row in rows)
            return [(value or [None])[0] for value in values]
        if not own and fields == ["list"]:
            return [row["list"] for row in rows]
        return [without_dlt_columns(row) for row in rows]


def _is_active(valid_to: Any, active: Any) -> bool:
    if valid_to is None or active is None:
        return valid_to is None
    # a stored schema has it as text, and others may too
    moment = datetime.datetime.fromisoformat(str(active))
    known = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
    found: datetime.datetime = (
        valid_to if valid_to.tzinfo else valid_to.replace(tzinfo=known.tzinfo)
    )
    return found == known
