"""The schemas of a dataset as they are stored at its destination, and where two of them disagree.

dlt reads no table of a dataset in which two schemas give one column different types.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema

from dlthub_project.dlt_internals import datasets
from dlthub_project.errors import DisputedColumn

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.schema.typing import TTableSchema


# of a table, what dlt wants to be the same in all schemas
_OF_TABLE = ("parent", "resource")


def stored_schemas(client: JobClientBase) -> list[Schema]:
    """Return the schemas of a dataset as its destination stores them, the oldest first.

    The list is empty if there is no dataset, or if dlt did not load it. `dlt.dataset` alone reads
    only the schema that was stored last. If two pipelines evolve one schema side by side, its
    stored versions do not know each other's tables and columns: here the schema has those of both,
    if they exist.
    """
    assert isinstance(client, WithStateSync)  # the catalog opens no others
    versions = _versions(client)
    schemas: dict[str, Schema] = {}
    for name in dict.fromkeys(name for name, _ in versions):
        # without a name, dlt returns the schema that was stored last
        newest = client.get_stored_schema(name or None)  # type: ignore[arg-type]  # dlt takes None
        if newest is not None:
            schema = _schema_from(newest.schema)
            ancestors = {newest.version_hash, *schema.previous_hashes}
            strays = [
                hash_ for other, hash_ in versions if other == name and hash_ not in ancestors
            ]
            _add_stray_columns(client, schema, strays)
            schemas[name or schema.name] = schema
    return list(schemas.values())


def _versions(client: Any) -> list[tuple[str, str]]:
    """Return the name and hash of every stored schema version; one query for most destinations."""
    try:
        return datasets.stored_versions(client)
    except DestinationUndefinedEntity:
        return []
    except Exception:
        # some destinations raise other errors if the dataset does not exist
        if client.is_storage_initialized():
            raise
        return []


def _add_stray_columns(client: Any, schema: Schema, strays: list[str]) -> None:
    missing: dict[str, TTableSchema] = {}
    for hash_ in reversed(strays):
        version = client.get_stored_schema_by_hash(hash_)
        for name, table in _schema_from(version.schema).tables.items() if version else ():
            known = schema.tables.get(name, {}).get("columns", {})
            added = {c: hints for c, hints in table["columns"].items() if c not in known}
            if name not in schema.tables or added:
                earlier = missing.setdefault(name, {**table, "columns": {}})
                earlier["columns"] = {**added, **earlier["columns"]}
    for name, columns in client.get_storage_tables(missing) if missing else ():
        existing = {c: hints for c, hints in missing[name]["columns"].items() if c in columns}
        if existing:
            schema.update_table({**missing[name], "columns": existing})


def _schema_from(stored: str) -> Schema:
    return Schema.from_dict(json.loads(stored), validate_schema=False)


@dataclass(frozen=True)
class Dispute:
    """One column, its type in the schema that is listed first, and another type elsewhere."""

    table: str
    column: str
    first_schema: str
    first_type: str
    other_schema: str
    other_type: str

    def error(self, dataset: str) -> DisputedColumn:
        """Return the error of who reads the column."""
        hint = f'columns={{"{self.column}": {{"data_type": "{self.first_type}"}}}}'
        return DisputedColumn(
            f"Column `{self.column}` of table `{self.table}` in dataset `{dataset}` is "
            f"`{self.first_type}` in schema `{self.first_schema}` and `{self.other_type}` in "
            f"schema `{self.other_schema}`.",
            f"Give it one type, such as {hint} at the resource that schema `{self.other_schema}` "
            f"has table `{self.table}` of, and load that into an empty dataset; or give the two a "
            "table each. Until then, select the other columns: "
            f'dataset["{self.table}"].select(...).',
        )


class HasDisputes(Protocol):
    """A dataset that knows what its schemas disagree about."""

    @property
    def disputes(self) -> Sequence[Dispute]:
        """The columns that they give different types."""

    @property
    def dataset_name(self) -> str:
        """Its name."""


def settle(schemas: Sequence[Schema]) -> tuple[list[Schema], tuple[Dispute, ...]]:
    """Return schemas that dlt can read together, and what they disagree about.

    dlt lays the schemas of a dataset over each other for every query, and refuses all of them for
    one column, or for a table of two resources. Here the first one that has it is right.
    """
    settled: list[Schema] = []
    disputes: list[Dispute] = []
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    columns: dict[tuple[str, str], tuple[str, Any]] = {}
    for schema in schemas:
        changed: list[dict[str, Any]] = []
        for name, table in schema.tables.items():
            here: dict[str, Any] = {**table, "columns": dict(table["columns"])}
            _, earlier = first.setdefault(name, (schema.name, here))
            differs = any(earlier.get(key) != here.get(key) for key in _OF_TABLE)
            for key in _OF_TABLE if differs else ():
                here.pop(key, None)
                here.update({key: earlier[key]} if key in earlier else {})
            for column, hints in table["columns"].items():
                owner, known = columns.setdefault((name, column), (schema.name, hints))
                there, here_too = known.get("data_type"), hints.get("data_type")
                if there is None:
                    # not complete: without a value until now
                    columns[name, column] = (schema.name, hints)
                elif here_too not in (None, there):
                    differs = True
                    here["columns"][column] = copy.deepcopy(known)
                    disputes.append(Dispute(name, column, owner, there, schema.name, str(here_too)))
            if differs:
                changed.append(here)
        settled.append(_with_tables(schema, changed) if changed else schema)
    return settled, tuple(disputes)


def _with_tables(schema: Schema, tables: list[dict[str, Any]]) -> Schema:
    made: Any = copy.deepcopy(schema.to_dict())
    made["tables"].update({table["name"]: table for table in tables})
    return Schema.from_dict(made, validate_schema=False)


def tell_when_read(client: Any, dataset: HasDisputes) -> None:
    """Have a client raise `DisputedColumn` for queries that read a column in dispute."""
    execute = client.execute_query
    if dataset.disputes and not (isinstance(execute, partial) and execute.func is _execute):
        client.execute_query = partial(_execute, client, dataset, execute)


@contextmanager
def _execute(
    client: Any, dataset: HasDisputes, execute: Any, query: Any, *args: Any, **kwargs: Any
) -> Iterator[Any]:
    if isinstance(query, str):
        dialect = client.capabilities.sqlglot_dialect
        for dispute in _read_by(query, dialect, dataset.disputes):
            raise dispute.error(dataset.dataset_name)
    with execute(query, *args, **kwargs) as cursor:
        yield cursor


def _read_by(query: str, dialect: Any, disputes: Sequence[Dispute]) -> Iterator[Dispute]:
    """Yield the disputes about columns that a query reads, also by `*`."""
    import sqlglot
    from sqlglot import exp

    parsed = sqlglot.parse_one(query, dialect=dialect)
    tables = list(parsed.find_all(exp.Table))
    for dispute in disputes:
        read = [table for table in tables if table.name.lower() == dispute.table.lower()]
        others = {t.alias_or_name.lower() for t in tables} - {t.alias_or_name.lower() for t in read}
        if not read:
            continue
        stars = [
            star for star in parsed.find_all(exp.Star) if not isinstance(star.parent, exp.Count)
        ]
        named = [
            column
            for column in parsed.find_all(exp.Column)
            if column.name.lower() == dispute.column.lower() and column.table.lower() not in others
        ]
        if stars or named:
            yield dispute
