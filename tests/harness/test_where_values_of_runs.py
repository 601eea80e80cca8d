"""Rows asked for by a value that their column can never equal: an error, not no rows."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import dlt
import pytest

from pytest_dlthub import DltRun

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
NAIVE = MOMENT.replace(tzinfo=None)
UUID = uuid.UUID(int=7)
VALUES: dict[str, Any] = {
    "text": "7",
    "whole": 7,
    "double": 7.5,
    "price": Decimal("7.5"),
    "flag": True,
    "moment": MOMENT,
    "local": NAIVE,
    "day": MOMENT.date(),
    "hour": MOMENT.time(),
    "bytes": b"7",
    "json": {"a": 7},
}
HINTS: Any = {
    "json": {"data_type": "json"},
    "local": {"data_type": "timestamp", "timezone": False},
}


class Color(enum.Enum):
    RED = "red"


NEVER_EQUAL = {
    "text": (7, 7.5, Decimal(7), True, MOMENT, MOMENT.date(), b"7", UUID, Color.RED, ["7"], {}),
    "whole": ("7", "x", MOMENT, b"7", [7]),
    "double": ("7.5", MOMENT.date()),
    "price": ("7.5",),
    "flag": ("true", "1"),
    "moment": (MOMENT.isoformat(), MOMENT.date(), NAIVE, 7),
    "local": (MOMENT,),
    "day": ("2026-01-02", MOMENT),
    "hour": ("03:04:05",),
    "bytes": ("7",),
}
# none of these is there, and all of them might be
MAY_EQUAL = {
    "text": ("8", mock.ANY, pytest.approx(8)),
    "whole": (8, 8.0, Decimal(8), True, pytest.approx(8)),
    "double": (8, Decimal(8)),
    "price": (8, 8.5),
    "flag": (False, 0, 2),
    "bytes": (b"8", bytearray(b"8")),
    "json": ("7", 7, [7], {}, MOMENT),
}


@pytest.mark.parametrize("target", ["duckdb", "sqlite"])
def test_a_value_that_no_value_of_the_column_equals_is_an_error(
    dlt_run: DltRun, target: str, tmp_path: Path
) -> None:
    place: Any = target
    if target == "sqlite":
        place = dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path / 'it.sqlite'}")
    run = dlt_run([VALUES, {"whole": 1}], table_name="t", columns=HINTS, destination=place)

    for name, others in NEVER_EQUAL.items():
        for value in others:
            with pytest.raises(TypeError, match=rf"column `{name}` is \w+, .* never equals"):
                run.rows("t", where={name: value})
    for name, others in MAY_EQUAL.items():
        for value in others:
            found = [VALUES] if value is mock.ANY else []
            assert len(run.rows("t", where={name: value, "day": VALUES["day"]})) == len(found)


def test_the_error_says_column_types_and_what_to_give(dlt_run: DltRun) -> None:
    run = dlt_run([{"id": 1, "key": UUID}], table_name="t")
    run.sql("CREATE VIEW v AS SELECT id FROM t")

    with pytest.raises(TypeError) as of_table:
        run.rows("t", where={"id": "1"})
    with pytest.raises(TypeError) as of_view:
        run.rows("v", where={"id": "1"})
    with pytest.raises(TypeError, match=r"is a UUID\. Give str\(value\)\."):
        run.rows("t", where={"key": UUID})
    assert str(of_table.value) == (
        "rows: where={'id': …} can find nothing: column `id` is bigint, a number, and never "
        "equals '1', which is text. Give a number."
    )
    assert "column `id` is a number, and never" in str(of_view.value)
    # SQL compares otherwise
    assert run.rows("t", "id", where=("id", "eq", "1")) == [(1,)]


def test_it_is_an_error_in_a_table_without_rows_too(dlt_run: DltRun) -> None:
    run = dlt_run([{"id": 1}], table_name="t")
    run.sql("DELETE FROM t")

    assert run.rows("t", where={"id": 1}) == []
    with pytest.raises(TypeError, match="never equals '1'"):
        run.rows("t", where={"id": "1"})
