"""Describes the stable parts of a schema, and lists the changes between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_dlthub.assertions.differences import shortened
from pytest_dlthub.assertions.records import is_dlt_name, type_told

if TYPE_CHECKING:
    from dlt.common.schema import Schema

_TYPE = ("data_type", "precision", "scale", "timezone")
# dlt writes these while it loads, or in each run
_VOLATILE = ("name", "columns", "x-normalizer", "x-loader", "x-extractor", "x-boundary-timestamp")
# hints for readers: no behaviour depends on them
_TELLING = ("description", "x-annotation", "x-bigquery-table-description")
_DEFAULT_NAMING = "snake_case"
_MOST = 20


@dataclass(frozen=True)
class Change:
    """One change of a schema.

    Attributes:
        text: The change: `column orders.price: bigint → text`.
        is_breaking: Whether dlt cannot make the change by itself. By itself it adds tables and
            nullable columns. A change that we cannot judge is breaking.
    """

    text: str
    is_breaking: bool

    def __str__(self) -> str:
        return f"{'breaking' if self.is_breaking else 'additive'}: {self.text}"


def described(schema: Schema) -> dict[str, Any]:
    """Return the stable parts of a schema, in YAML types and in a stable order.

    They leave out dlt's own tables and columns, versions, hashes, and notes of dlt on its loads.
    """
    stored: Mapping[str, Any] = schema.to_dict(bump_version=False)
    found: dict[str, Any] = {"schema": stored["name"]}
    naming = str(stored["normalizers"].get("names", _DEFAULT_NAMING))
    if naming != _DEFAULT_NAMING:
        found["naming"] = naming
    if contract := stored["settings"].get("schema_contract"):
        found["schema_contract"] = _plain(contract)
    tables = {str(table["name"]): table for table in schema.data_tables()}
    found["tables"] = {name: _table(name, tables[name]) for name in sorted(tables)}
    return found


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return the changes between two schemas from `described`, breaking changes first."""
    found = [*_hints(f"schema {now.get('schema')}", before, now, ("tables",))]
    earlier, later = before.get("tables") or {}, now.get("tables") or {}
    for name in sorted({*earlier, *later}):
        if name not in later:
            found.append(Change(f"table {name} removed", True))
        elif name not in earlier:
            found.append(Change(f"new table {name}", False))
        else:
            found += _table_changes(name, earlier[name], later[name])
    return sorted(found, key=lambda change: not change.is_breaking)


def told(found: list[Change]) -> list[str]:
    """Return a line for each change, after one with the count of each kind."""
    breaking = sum(change.is_breaking for change in found)
    counts = ((breaking, "breaking"), (len(found) - breaking, "additive"))
    parts = [f"{n} {kind} {'change' if n == 1 else 'changes'}" for n, kind in counts if n]
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return [", ".join(parts), *map(str, found[:_MOST]), *more]


def _table(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    hints = _stable(table)
    if hints.get("resource") == name:
        del hints["resource"]
    columns = {
        column: _column(own)
        for column, own in sorted(table["columns"].items())
        if not is_dlt_name(column)
    }
    return {**hints, "columns": {column: own for column, own in columns.items() if own}}


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hints of a column; empty if it has only been null."""
    hints = _stable(column)
    if hints.pop("nullable", True) is False:
        hints["nullable"] = False
    first = [name for name in (*_TYPE, "nullable") if name in hints]
    return {name: hints[name] for name in dict.fromkeys((*first, *hints))}


def _stable(hints: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(hints[name])
        for name in sorted(hints)
        if name not in _VOLATILE
        and (hints[name] or name in ("nullable", "scale", "timezone"))
        # leave out defaults
        and (name, hints[name]) not in (("timezone", True), ("scale", None), ("timezone", None))
    }


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str, sort_keys=True))


def _table_changes(
    table: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Change]:
    yield from _hints(f"table {table}", before, now, ("columns",))
    earlier, later = before.get("columns") or {}, now.get("columns") or {}
    for name in sorted({*earlier, *later}):
        column = f"column {table}.{name}"
        if name not in later:
            yield Change(f"{column} removed", True)
        elif name not in earlier:
            hints = later[name]
            # existing rows have no value for it, or an incomplete key
            is_demanding = hints.get("nullable") is False or any(map(hints.get, _KEYS))
            words = [_type(hints), *(["not null"] if hints.get("nullable") is False else [])]
            words += [key for key in _KEYS if hints.get(key)]
            yield Change(f"new {column}: {', '.join(words)}", is_demanding)
        else:
            yield from _column_changes(column, earlier[name], later[name])


_KEYS = ("primary_key", "merge_key")


def _column_changes(
    column: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Change]:
    if _type(before) != _type(now):
        # dlt gives a type to a column without one, and does not alter a column that exists
        yield Change(f"{column}: {_type(before)} → {_type(now)}", "data_type" in before)
    words = [
        "not null" if hints.get("nullable") is False else "nullable" for hints in (before, now)
    ]
    if words[0] != words[1]:
        yield Change(f"{column}: {' → '.join(words)}", True)
    yield from _hints(column, before, now, (*_TYPE, "nullable"))


def _hints(
    what: str, before: Mapping[str, Any], now: Mapping[str, Any], besides: tuple[str, ...]
) -> Iterator[Change]:
    for name in sorted({*before, *now} - {*besides}):
        earlier, later = before.get(name), now.get(name)
        if earlier == later:
            continue
        text = f"{name} {_text(earlier)} → {_text(later)}"
        if {earlier is None or earlier is True, later is None or later is True} == {True}:
            text = f"now {name}" if later else f"no longer {name}"
        yield Change(f"{what}: {text}", not name.startswith(_TELLING))


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return shortened(value) if not isinstance(value, str) else value


def _type(hints: Mapping[str, Any]) -> str:
    zone = "" if hints.get("timezone") is not False else " without time zone"
    return f"{type_told({'data_type': 'no type', **hints})}{zone}"
