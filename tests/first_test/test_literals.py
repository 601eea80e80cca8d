"""Values as Python code: the code gives the value back."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any, NamedTuple

import dlt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dlthub_project.errors import ProjectError
from dlthub_project.first_test.literals import imports_of, literal

UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC).replace(tzinfo=None)


class Point(NamedTuple):
    x: int


class Kind(str, enum.Enum):
    NEW = "new"


def value_of(code: str) -> Any:
    names: dict[str, Any] = {"dlt": dlt, "pa": pa, "pl": pl, "uuid": uuid, "Decimal": Decimal}
    return eval(code, {**names, "datetime": datetime, "zoneinfo": zoneinfo})


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        0.1,
        math.inf,
        "it's",
        'a "word"\n',
        "ä\x1b",
        b"\x00'",
        Decimal("1.50"),
        uuid.UUID(int=7),
        MOMENT,
        MOMENT.replace(microsecond=0, second=0, minute=0, hour=0),
        MOMENT.replace(tzinfo=UTC),
        MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-5))),
        MOMENT.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        MOMENT.date(),
        MOMENT.time(),
        datetime.time(3),
        datetime.timedelta(days=1, seconds=2),
        (1,),
        (),
        [],
        {},
        set(),
        {1},
        {"a": [{"b": ["x" * 90, {"c": 1}]}], 2: ("y",)},
    ],
    ids=repr,
)
def test_code_of_a_value_gives_the_value(value: Any) -> None:
    given_back = value_of(literal(value))

    assert (given_back, type(given_back)) == (value, type(value))


def test_not_a_number_and_rows_of_other_classes() -> None:
    assert math.isnan(value_of(literal(math.nan)))
    assert value_of(literal([Point(1), Kind.NEW, memoryview(b"x")])) == [{"x": 1}, "new", b"x"]
    assert value_of(literal(pd.Timestamp("2026-01-02", tz="UTC"))) == (
        datetime.datetime(2026, 1, 2, tzinfo=UTC)
    )


ARROW = pa.table(
    {
        "i": pa.array([1, None], pa.int16()),
        "ok": [True, False],
        "f": pa.array([1.5, 2.5], pa.float32()),
        "d": pa.array([1.5, 2.5]),
        "price": pa.array([Decimal("1.10"), Decimal("2.20")], pa.decimal128(10, 2)),
        "at": pa.array([MOMENT, MOMENT], pa.timestamp("us", tz="Europe/Berlin")),
        "naive": pa.array([MOMENT, MOMENT], pa.timestamp("ms")),
        "on": pa.array([MOMENT.date()] * 2, pa.date32()),
        "time": pa.array([MOMENT.time()] * 2, pa.time64("us")),
        "raw": [b"\x00", b""],
        "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
        "text": pa.array(["a", "b"], pa.large_string()),
        "words": pa.array([["a"], []], pa.list_(pa.string())),
        "pair": pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)),
        "part": pa.array([{"x": 1, "y": "a"}] * 2),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "nothing": pa.nulls(2),
    },
)


def test_code_of_an_arrow_table_gives_the_same_types_and_values() -> None:
    required = pa.schema([pa.field("id", pa.int64(), nullable=False)])
    strict = pa.Table.from_pylist([{"id": 1}], schema=required)

    assert value_of(literal(ARROW)).equals(ARROW)
    assert value_of(literal(strict)).schema == required
    assert value_of(literal([ARROW.to_batches()[0]]))[0].equals(ARROW.to_batches()[0])


def test_code_of_a_frame_gives_a_frame() -> None:
    frame = pd.DataFrame({"id": [1, 2], "at": pd.to_datetime(["2026-01-01", None])})
    of_polars = pl.DataFrame({"id": [1, 2], "name": ["a", None]})

    pd.testing.assert_frame_equal(value_of(literal(frame)), frame, check_dtype=False)
    assert value_of(literal(of_polars)).equals(of_polars)


def test_long_values_stand_on_lines_of_their_own() -> None:
    assert literal({"a": 1, "b": [1, 2]}) == '{"a": 1, "b": [1, 2]}'
    assert literal({"rows": [{"text": "x" * 40}, {"text": "y" * 40}], "n": 1}).splitlines() == [
        "{",
        f'    "rows": [{{"text": "{"x" * 40}"}},'.split("[")[0] + "[",
        f'        {{"text": "{"x" * 40}"}},',
        f'        {{"text": "{"y" * 40}"}},',
        "    ],",
        '    "n": 1,',
        "}",
    ]


def test_imports_are_those_that_the_code_uses() -> None:
    code = f"A = {literal([MOMENT, Decimal(1), 'pa.table and uuid.'])}\nB = dlt.mark\n"

    assert imports_of(code) == [
        "import datetime",
        "from decimal import Decimal",
        "",
        "import dlt",
    ]


def test_a_value_without_code_is_an_error_that_names_its_type() -> None:
    with pytest.raises(ProjectError, match=r"`builtins\.object` cannot be written as code"):
        literal({"a": [object()]})
    with pytest.raises(ProjectError, match="cannot be written as code"):
        literal(pa.array([1], pa.int64()).view(pa.int64()).type)
