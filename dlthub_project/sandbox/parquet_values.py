"""Finds rows that DuckDB reads from Parquet exactly as from SQL inserts, its format in production.

Parquet keeps values that an insert rounds, and refuses others that an insert takes. If any value
of the rows could differ, they are inserted, however many they are.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns

# DuckDB computes a literal exactly up to this many characters: 15 digits, a point and a sign
_EXACT_LITERAL = 16
# a decimal with more digits than this has 128 bits
_WIDE_DECIMAL = 18
# scale and precision that dlt gives to a decimal without any
_DECIMAL = (38, 9)


def same_as_inserted(rows: list[dict[str, Any]], columns: TTableSchemaColumns) -> bool:
    """Return whether `rows` are the same from Parquet; doubles become what an insert makes them."""
    checks = {name: _check(column) for name, column in columns.items()}
    for row in rows:
        for name, value in row.items():
            if value is None:
                continue
            if type(value) is float:
                inserted = _inserted_double(value)
                if inserted is None or columns[name].get("data_type") != "double":
                    return False
                row[name] = inserted
            elif not checks[name](value):
                return False
    return True


def _inserted_double(value: float) -> float | None:
    """Return what DuckDB makes of the literal of a double; None where it refuses it."""
    if value == 0.0:
        # -0.0 loses its sign
        return 0.0
    literal = repr(value)
    if len(literal) <= _EXACT_LITERAL:
        return None if literal[-1] in "nf" else value
    if -1 < value < 1 and "e" not in literal:
        # DuckDB divides two doubles, and rounds twice: of 11,000 random ones, 24 change
        digits = literal.lstrip("-")[2:]
        if value < 0 and len(digits) >= _WIDE_DECIMAL:
            # it adds -2**64 and the rest, each rounded: of 2,900 random ones, 53 change
            return None
        divided = float(int(digits)) / 10.0 ** len(digits)
        return -divided if value < 0 else divided
    return value


def _check(column: TColumnSchema) -> Callable[[Any], bool]:
    """Return a function that tells whether a value of a column is the same from Parquet."""
    data_type, precision = column.get("data_type"), column.get("precision")
    if data_type == "text":
        return _is_same_text
    if data_type == "bool":
        return lambda value: type(value) is bool
    if data_type == "bigint":
        limit = 1 << ((precision or 64) - 1)
        return lambda value: type(value) is int and -limit <= value < limit
    if data_type == "binary":
        return lambda value: type(value) is bytes
    if data_type == "json":
        return lambda value: isinstance(value, dict | list) or _is_same_text(value)
    if data_type == "date":
        return lambda value: isinstance(value, datetime.date)
    if data_type == "decimal":
        return _decimal_check(column)
    if data_type in ("timestamp", "time") and precision in (None, 6):
        return lambda value: isinstance(value, datetime.datetime | datetime.time)
    # wei, and whatever dlt will have
    return lambda value: False


def _is_same_text(value: Any) -> bool:
    # no file can hold half of a surrogate pair
    return type(value) is str and "\0" not in value and (value.isascii() or _is_encodable(value))


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decimal_check(column: TColumnSchema) -> Callable[[Any], bool]:
    precision, scale = _DECIMAL
    if column.get("precision") is not None:
        precision, scale = column["precision"] or 0, column.get("scale") or 0
    elif column.get("scale") is not None:
        return lambda value: False

    def fits(value: Any) -> bool:
        if not isinstance(value, Decimal) or not value.is_finite() or "E" in str(value):
            return False
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # it is finite
        return -exponent <= scale and len(digits) + exponent <= precision - scale

    return fits
