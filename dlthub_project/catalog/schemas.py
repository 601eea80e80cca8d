"""The schemas of a dataset as they are stored at its destination, and where types disagree.

dlt reads no table of a dataset in which two schemas give one column different types. A table whose
column has another type than the data that it takes may change their values.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema

from dlthub_project.dlt_internals import datasets
from dlthub_project.errors import DisputedColumn, ProjectError

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.schema.typing import TColumnSchema, TTableSchema


# the hints of a table that dlt wants to be the same in all schemas
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
        """Return the error that a read of the column raises."""
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


@dataclass(frozen=True)
class LossyConversion:
    """A column whose values may lose a part on their way into a table.

    Attributes:
        column: The column.
        source_type: The type of the values, such as `decimal(10,2)`.
        table_type: The type that the table has.
        is_silent: Whether the destination may round or cut ordinary values and say nothing, as
            1.7 becomes 2. Otherwise only values out of range are in danger: most destinations
            refuse them, and a whole number above 2^53 is rounded to a double.
    """

    column: str
    source_type: str
    table_type: str
    is_silent: bool

    def error(self, table: str) -> ProjectError:
        """Return the error of who would load the values into `table`."""
        return ProjectError(
            f"Column `{self.column}` of table `{table}` is {self.table_type}, and the data have "
            f"{self.source_type}: values would be rounded, cut or refused.",
            f"Cast the column to {self.table_type} before, in the way that you mean, or write to "
            "another table.",
        )


def lossy_conversions(
    source: Mapping[str, TColumnSchema], table: Mapping[str, TColumnSchema]
) -> list[LossyConversion]:
    """Return the columns of a source whose values may change when a table takes them.

    The comparison is of types alone: a double may be 1.7 or 1.0, and into bigint it counts as
    lossy. Columns that the table lacks, and those without a type, lose nothing.

    Args:
        source: The columns of the source, by name.
        table: The columns of the table, by name.
    """
    found = []
    for name, column in source.items():
        there = table.get(name, {})
        if column.get("data_type") is None or there.get("data_type") is None:
            continue
        loss = _loss(column, there)
        if loss is not None:
            found.append(LossyConversion(name, written_type(column), written_type(there), loss))
    return found


# the types that hold all values of another one, however they are written
_HOLD_ALL: dict[str, tuple[str, ...]] = {
    "bool": ("text", "json", "bigint", "wei", "decimal", "double"),
    "bigint": ("text", "json", "wei"),
    "double": ("text", "json"),
    "decimal": ("text", "json"),
    "wei": ("text", "json"),
    "date": ("text", "json", "timestamp"),
    "time": ("text", "json"),
    "timestamp": ("text", "json"),
    # the destination refuses a text that is no JSON, and a value that it cannot write as bytes
    "text": ("json", "binary"),
    "json": ("text", "binary"),
    "binary": ("text", "json"),
}
_LONGEST_INTEGER = 19
_EXACT_DIGITS_OF_DOUBLE = 15


def _loss(column: TColumnSchema, there: TColumnSchema) -> bool | None:
    """Tell how values may be lost: True in silence, False only if out of range, None never."""
    one, other = str(column["data_type"]), str(there["data_type"])
    if other in _HOLD_ALL.get(one, ()):
        return None
    if one == other and one in ("timestamp", "time"):
        return True if _digits(column, 6) > _digits(there, 6) else None
    if one == other == "bigint":
        # their precision is in bits
        return False if _digits(column, 64) > _digits(there, 64) else None
    if one in ("bigint", "decimal", "wei") and other in ("bigint", "decimal", "wei", "double"):
        return _loss_of_number(column, there)
    return None if one == other else True


def _loss_of_number(column: TColumnSchema, there: TColumnSchema) -> bool | None:
    whole, decimals = _places(column)
    if there["data_type"] == "double":
        return False if whole + decimals > _EXACT_DIGITS_OF_DOUBLE else None
    whole_there, decimals_there = _places(there)
    if decimals > decimals_there:
        return True
    return False if whole > whole_there else None


def _places(column: TColumnSchema) -> tuple[int, int]:
    """Return how many digits a number has before and after its point."""
    if column["data_type"] == "bigint":
        return (_LONGEST_INTEGER if _digits(column, 64) > 32 else 10), 0
    default = (38, 9) if column["data_type"] == "decimal" else (78, 0)
    precision = _digits(column, default[0])
    scale = column.get("scale")
    if scale is None:
        scale = default[1] if column.get("precision") is None else 0
    return precision - scale, scale


def _digits(column: TColumnSchema, default: int) -> int:
    precision = column.get("precision")
    return default if precision is None else precision


def written_type(column: TColumnSchema) -> str:
    """Return the type of a column as messages have it, such as `decimal(10,2)`."""
    data_type, precision, scale = (column.get(key) for key in ("data_type", "precision", "scale"))
    if data_type == "double" or (data_type == "bigint" and precision == 64):
        # databases tell the bits of these
        return str(data_type)
    numbers = [
        str(n) for n in (precision, scale if data_type != "bigint" else None) if n is not None
    ]
    return f"{data_type}({','.join(numbers)})" if numbers else str(data_type)
