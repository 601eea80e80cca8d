"""Rows with given values, and what no value of a column can equal."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pytest_dlthub.assertions.differences import shortened

Record = dict[str, Any]

_IN_ZONE, _WITHOUT_ZONE = "a datetime with a zone", "a datetime without a zone"
# what equals values of the same kind, and of no other; the first class that fits counts
_KINDS: tuple[tuple[type[Any], str], ...] = (
    (str, "text"),
    (int, "a number"),
    (float, "a number"),
    (Decimal, "a number"),
    (datetime.datetime, _IN_ZONE),
    (datetime.date, "a date"),
    (datetime.time, "a time"),
    (bytes, "bytes"),
    (bytearray, "bytes"),
    (memoryview, "bytes"),
    (UUID, "a UUID"),
    (Enum, "a member of an enum"),
    (list, "a list"),
    (tuple, "a tuple"),
    (dict, "a mapping"),
    (set, "a set"),
)
# JSON is left out: any value may be in it
_KINDS_OF_COLUMNS = {
    "text": "text",
    "bigint": "a number",
    "double": "a number",
    "decimal": "a number",
    "wei": "a number",
    "bool": "a number",
    "timestamp": _IN_ZONE,
    "date": "a date",
    "time": "a time",
    "binary": "bytes",
}
_GIVE_INSTEAD = {"a UUID": "str(value)", "a member of an enum": "value.value"}


def may_equal(column: Mapping[str, Any], value: Any) -> bool:
    """Tell whether values of a column can equal a value; unknown classes may equal anything."""
    kinds = _kind_of_column(column), _kind(value)
    return None in kinds or kinds[0] == kinds[1]


def with_values(
    records: list[Record], values: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]]
) -> list[Record]:
    """Return the rows that have these values, as Python compares them.

    Args:
        records: The rows.
        values: The values by column.
        columns: The hints of columns; cells tell the kind of a column that is not there.

    Raises:
        TypeError: There are none, and a column has values of another kind.
    """
    found = [row for row in records if all(row[name] == values[name] for name in values)]
    if found:
        return found
    for name, value in values.items():
        column = columns.get(name)
        if column is None:
            kind, told = _kind_of_cells(row[name] for row in records), ""
        else:
            kind, told = _kind_of_column(column), f"{column['data_type']}, "
        if kind and _kind(value) not in (None, kind):
            give = _GIVE_INSTEAD.get(str(_kind(value)), "") if kind == "text" else ""
            raise TypeError(
                f"rows: where={{{name!r}: …}} can find nothing: column `{name}` is {told}{kind}, "
                f"and never equals {shortened(value)}, which is {_kind(value)}. "
                f"Give {give or kind}."
            )
    return found


def _kind(value: Any) -> str | None:
    """Return the kind of a value; None where its class compares in its own way, or is unknown."""
    own: type[Any] = type(value)
    kinds = (
        kind if own.__eq__ is of_kind.__eq__ else None
        for of_kind, kind in _KINDS
        if isinstance(value, of_kind)
    )
    kind = next(kinds, None)
    return _WITHOUT_ZONE if kind == _IN_ZONE and value.tzinfo is None else kind


def _kind_of_column(column: Mapping[str, Any]) -> str | None:
    kind = _KINDS_OF_COLUMNS.get(column["data_type"])
    return _WITHOUT_ZONE if kind == _IN_ZONE and column.get("timezone") is False else kind


def _kind_of_cells(cells: Iterable[Any]) -> str | None:
    kinds = {_kind(cell) for cell in cells if cell is not None}
    return kinds.pop() if len(kinds) == 1 else None
