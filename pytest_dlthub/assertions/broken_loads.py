"""Finds rows that a crash, or a load that ran twice, has left in a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlglot

from dlthub_project.dlt_internals.sql_clients import connected
from pytest_dlthub.assertions.equality import Rows
from pytest_dlthub.assertions.records import records_of
from pytest_dlthub.assertions.tables import TableReader
from pytest_dlthub.data_coverage import reads

if TYPE_CHECKING:
    import dlt
    from dlt.common.schema import Schema


@reads.unseen
def duplicates(dataset: dlt.Dataset) -> dict[str, Rows]:
    """Return the rows that share their `_dlt_id` with another row, by table."""
    found: dict[str, Rows] = {}
    with connected(dataset.sql_client):
        for schema, table, columns in _loaded(dataset):
            row_id = schema.naming.normalize_identifier("_dlt_id")
            # in a table of strategy `scd2`, each version is a row of its own
            key = [n for n, hints in columns.items() if n == row_id or hints.get("x-valid-from")]
            if row_id in key and _groups(dataset, table, key, having="COUNT(*) > 1"):
                rows = TableReader(dataset, table).rows(dlt_ids=True)
                counts = Counter(tuple(row[name] for name in key) for row in rows)
                twice = (row for row in rows if counts[tuple(row[name] for name in key)] > 1)
                found[table] = Rows(twice)
    return found


@reads.unseen
def unfinished_loads(dataset: dlt.Dataset) -> dict[str, list[str]]:
    """Return the ids of loads that have rows and no entry in `_dlt_loads`, by table."""
    found: dict[str, list[str]] = {}
    with connected(dataset.sql_client):
        finished = {load for each in dataset.schemas for load in _finished(dataset, each)}
        for schema, table, columns in _loaded(dataset):
            load_id = schema.naming.normalize_identifier("_dlt_load_id")
            if load_id in columns:
                ids = {row[0] for row in _groups(dataset, table, [load_id])}
                if ids - finished:
                    found[table] = sorted(ids - finished)
    return found


def _loaded(dataset: dlt.Dataset) -> Iterator[tuple[Schema, str, dict[str, Any]]]:
    """Yield the data tables that have been loaded, with their schemas and columns."""
    for schema in dataset.schemas:
        for table in schema.data_table_names(seen_data_only=True):
            yield schema, table, dict(schema.get_table_columns(table))


def _finished(dataset: dlt.Dataset, schema: Schema) -> list[str]:
    load_id, status = map(schema.naming.normalize_identifier, ("load_id", "status"))
    loads = records_of(dataset.table(schema.loads_table_name))
    return [row[load_id] for row in loads if row[status] == 0]


def _groups(
    dataset: dlt.Dataset, table: str, names: list[str], having: str | None = None
) -> list[tuple[Any, ...]]:
    """Return the distinct values of columns; the destination finds them."""
    columns = [sqlglot.exp.column(name, quoted=True) for name in names]
    source = sqlglot.exp.Table(this=sqlglot.exp.to_identifier(table, quoted=True))
    query = sqlglot.select(*columns).from_(source).group_by(*columns)
    return dataset.query(query.having(having) if having else query).fetchall()
