"""Which values a temporary DuckDB may be given in Parquet: those that an insert leaves as they are.

`test_values_at_any_size.py` compares with plain dlt what is decided here.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from dlthub_project.sandbox.parquet_values import same_as_inserted

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.timezone.utc)


def is_same(value: Any, **column: Any) -> bool:
    """Tell whether a row with one value may be loaded from Parquet."""
    hints: Any = {"of": {"name": "of", **column}}
    return same_as_inserted([{"of": None}, {"of": value}], hints)


@pytest.mark.parametrize(
    ("column", "same", "changed"),
    [
        # half of a surrogate pair is in no file, and an insert ends at a zero
        ({"data_type": "text"}, ["a", "ä", ""], ["a\0b", "\ud800", 1, b"a"]),
        ({"data_type": "bool"}, [True], [1, "true"]),
        ({"data_type": "bigint"}, [2**63 - 1, -(2**63)], [2**63, True, "1"]),
        ({"data_type": "bigint", "precision": 8}, [127, -128], [128, -129]),
        ({"data_type": "binary"}, [b"\0"], ["a", bytearray(b"a")]),
        ({"data_type": "json"}, [{"a": 1}, [1], "text"], [1, "\ud800"]),
        ({"data_type": "date"}, [NOON.date(), NOON], ["2026-01-02"]),
        ({"data_type": "timestamp"}, [NOON], ["2026-01-02", NOON.date()]),
        ({"data_type": "timestamp", "precision": 6}, [NOON], []),
        # DuckDB cuts or rounds to it
        ({"data_type": "timestamp", "precision": 3}, [], [NOON]),
        ({"data_type": "time"}, [NOON.time()], ["12:00"]),
        ({"data_type": "wei"}, [], [1, 2**70]),
        (
            {"data_type": "decimal"},
            [Decimal("1.123456789"), Decimal(10**28)],
            [Decimal("1.1234567891"), Decimal(10**29), Decimal("NaN"), Decimal("1E+3"), 1],
        ),
        (
            {"data_type": "decimal", "precision": 4, "scale": 1},
            [Decimal("999.9"), Decimal("-0.5")],
            [Decimal(9999), Decimal("0.25")],
        ),
        ({"data_type": "decimal", "precision": 4}, [Decimal(9999)], [Decimal("0.5")]),
        # dlt gives such a column a precision of its own
        ({"data_type": "decimal", "scale": 2}, [], [Decimal(1)]),
        (
            {"data_type": "double"},
            [1.5, -2.25, 1e300, 12345678.125],
            [float("nan"), float("inf"), 1],
        ),
        # of a number that rounds differently in an insert
        ({"data_type": "double"}, [], [-0.0016134845861683234]),
        ({"data_type": "bigint"}, [], [1.0]),
    ],
)
def test_a_value_is_the_same_from_parquet_or_its_rows_are_inserted(
    column: dict[str, Any], same: list[Any], changed: list[Any]
) -> None:
    assert [value for value in same if not is_same(value, **column)] == []
    assert [value for value in changed if is_same(value, **column)] == []


@pytest.mark.parametrize(
    ("value", "inserted"),
    [
        # DuckDB forgets the sign of -0.0, and divides what is below 1
        (-0.0, "0.0"),
        (0.25, "0.25"),
        (0.027789301454811566, repr(27789301454811566.0 / 10.0**18)),
        (-0.1234567890123456, repr(-(1234567890123456.0 / 10.0**16))),
        (12345.678901234567, "12345.678901234567"),
        (1.2345678901234568e-300, "1.2345678901234568e-300"),
    ],
)
def test_a_double_becomes_what_an_insert_makes_of_it(value: float, inserted: str) -> None:
    rows = [{"of": value}]

    assert same_as_inserted(rows, {"of": {"name": "of", "data_type": "double"}})
    assert repr(rows[0]["of"]) == inserted
