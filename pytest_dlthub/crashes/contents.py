"""Reads what a run has left, to compare it with another run: rows, state and schema.

It uses plain SQL: for a small table, dlt's relations take ten times as long, and a crash matrix
reads some fifteen times.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity

from dlthub_project.dlt_internals import pipelines
from dlthub_project.dlt_internals.sql_clients import connected
from pytest_dlthub.assertions.records import is_dlt_name, records_of_sql

if TYPE_CHECKING:
    import dlt
    from dlt.common.schema import Schema

# in the state of a cursor: where the last run began
_OF_RUN = ("start_value",)
CURRENT = "(current)"
"""The column that replaces the validity times of a row in a table with strategy `scd2`."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of one table.

    Attributes:
        rows: The rows, without dlt's own columns.
        ids: The `_dlt_id` of each row; None if it has none.
        key: The columns of its primary or merge key.
        nested: The rows together with their nested rows; empty if the table has none.
    """

    rows: Sequence[Record]
    ids: Sequence[Any]
    key: tuple[str, ...]
    nested: Sequence[Record]


@dataclass(frozen=True)
class Contents:
    """The contents of a pipeline: its working folder and its dataset.

    Attributes:
        tables: The rows by data table.
        columns: The hints of each column, by table.
        state: The state of its sources in its working folder.
        stored_state: The state of its sources at the destination.
        unfinished: Tables with rows of loads that are missing in `_dlt_loads`.
        entered_twice: How many loads are more than once in `_dlt_loads`.
        unstored: Schemas whose current version is missing at the destination.
    """

    tables: Mapping[str, Table]
    columns: Mapping[str, Mapping[str, Mapping[str, Any]]]
    state: Mapping[str, Any]
    stored_state: Mapping[str, Any]
    unfinished: Sequence[str]
    entered_twice: int
    unstored: Sequence[str]


def contents_of(pipeline: dlt.Pipeline, ignore: Collection[str]) -> Contents:
    """Read the contents of a pipeline.

    Args:
        pipeline: The pipeline.
        ignore: Columns to leave out, by their names or as `table.column`.
    """
    schemas = list(pipeline.schemas.values())
    records: dict[str, list[dict[str, Any]]] = {}
    with connected(pipeline.dataset().sql_client) as client:
        for schema in schemas:
            loaded = schema.data_table_names(seen_data_only=True)
            for name in (*loaded, schema.loads_table_name, schema.version_table_name):
                with suppress(DestinationUndefinedEntity):
                    query = f"SELECT * FROM {client.make_qualified_table_name(name)}"
                    records[name] = records_of_sql(client, query)[1]
    stored: Mapping[str, Any] = {}
    with suppress(DestinationUndefinedEntity):
        stored = pipelines.stored_state(pipeline)
    of_data = {
        name: hints
        for schema in schemas
        for name, hints in schema.tables.items()
        if name in records and not is_dlt_name(name)
    }
    loads = {row["load_id"]: row for row in _of_dlt(records, schemas, "loads")}
    entries = Counter(row["load_id"] for row in _of_dlt(records, schemas, "loads"))
    versions = {row["version_hash"] for row in _of_dlt(records, schemas, "version")}
    finished = {load for load, row in loads.items() if row["status"] == 0}
    return Contents(
        {name: _table(name, of_data, records, ignore) for name in of_data},
        {
            name: copy.deepcopy(dict(hints.get("columns", {})))
            for schema in schemas
            for name, hints in schema.tables.items()
        },
        _of_sources(pipeline.state),
        _of_sources(stored),
        sorted(n for n in of_data if {*_cells(records[n], "_dlt_load_id")} - finished),
        sum(count > 1 for count in entries.values()),
        sorted(schema.name for schema in schemas if schema.version_hash not in versions),
    )


def _of_dlt(
    records: Mapping[str, list[dict[str, Any]]], schemas: Sequence[Schema], kind: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one of dlt's own tables, with column names in lower case."""
    for name in dict.fromkeys(getattr(schema, f"{kind}_table_name") for schema in schemas):
        for row in records.get(name, ()):
            yield {column.lower(): cell for column, cell in row.items()}


def _cells(rows: Sequence[Record], column: str) -> list[Any]:
    """Return the cells of a column of dlt; empty if the rows lack it."""
    name = next((n for n in (rows[0] if rows else ()) if n.lower() == column), None)
    return [] if name is None else [row[name] for row in rows]


def _table(
    name: str,
    tables: Mapping[str, Any],
    records: Mapping[str, list[dict[str, Any]]],
    ignore: Collection[str],
) -> Table:
    rows = [_row(record, name, tables[name], ignore) for record in records[name]]
    ids = _cells(records[name], "_dlt_id") or [None] * len(rows)
    columns = tables[name].get("columns", {}).items()
    keys = [n for n, hints in columns if hints.get("primary_key") and n not in ignore]
    keys = keys or [n for n, hints in columns if hints.get("merge_key") and n not in ignore]
    children = [child for child in tables if tables[child].get("parent") == name]
    nested: Sequence[Record] = ()
    if children and not tables[name].get("parent"):
        nested = _nested(name, tables, records, ignore)
    return Table(rows, ids, tuple(key for key in keys if rows and key in rows[0]), nested)


def _row(record: Record, table: str, hints: Mapping[str, Any], ignore: Collection[str]) -> Record:
    """Return a row without dlt's columns, and without the ignored ones."""
    row = {
        name: cell
        for name, cell in record.items()
        if not is_dlt_name(name) and name not in ignore and f"{table}.{name}" not in ignore
    }
    ends = [name for name, hint in hints.get("columns", {}).items() if hint.get("x-valid-to")]
    if ends and ends[0] in record:
        row[CURRENT] = record[ends[0]] is None
    return row


def _nested(
    name: str,
    tables: Mapping[str, Any],
    records: Mapping[str, list[dict[str, Any]]],
    ignore: Collection[str],
) -> list[Record]:
    """Return the rows of a table, each with its rows of nested tables."""
    rows = [dict(_row(record, name, tables[name], ignore)) for record in records[name]]
    ids = _cells(records[name], "_dlt_id")
    for child in tables:
        if tables[child].get("parent") != name:
            continue
        parts = _nested(child, tables, records, ignore)
        parents = _cells(records[child], "_dlt_parent_id")
        places = _cells(records[child], "_dlt_list_idx")
        ordered = sorted(zip(places, range(len(parts)), parts, parents, strict=True))
        of_parent: dict[Any, list[Record]] = {}
        for _, _, part, parent in ordered:
            of_parent.setdefault(parent, []).append(part)
        for row, row_id in zip(rows, ids, strict=True):
            row[child] = of_parent.get(row_id, [])
    return list(rows)


def _of_sources(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of sources, without the values at which the last run began."""

    def kept(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: kept(part) for name, part in value.items() if name not in _OF_RUN}

    found: dict[str, Any] = kept(state.get("sources", {}))
    return found
