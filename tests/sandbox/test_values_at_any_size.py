"""Rows of any number are loaded with the values that plain dlt loads."""

from __future__ import annotations

import datetime
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.pendulum import pendulum
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlthub_project.sandbox import (
    Sandbox,
    choose_file_format_freely,
    extract_and_normalize,
    isolated,
)

UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678999, UTC)
numbers = itertools.count()


def rows_of(pipeline: dlt.Pipeline, rows: list[dict[str, Any]], **hints: Any) -> Any:
    """Run, and return what is in the table; that it failed, if it did."""
    try:
        pipeline.run(rows, table_name="rows", **hints)
    except PipelineStepFailed as failure:
        return f"failed in {failure.step}"
    relation = pipeline.dataset().table("rows")
    names = [name for name in relation.columns if not name.startswith("_dlt_")]
    kinds = relation.columns_schema
    types = {name: kinds[name].get("data_type") for name in names}
    # repr: -0.0 is no 0.0, and 1.0 no 1
    return types, sorted(map(repr, relation.select(*names).fetchall()))


def in_plain_dlt(folder: Path, rows: list[dict[str, Any]], **hints: Any) -> Any:
    here = folder / f"plain_{next(numbers)}"
    here.mkdir()
    destination = dlt.destinations.duckdb(str(here / "it.duckdb"))
    pipeline = dlt.pipeline("it", str(here), destination=destination, dataset_name="data")
    return rows_of(pipeline, rows, **hints)


def in_sandbox(folder: Path, rows: list[dict[str, Any]], **hints: Any) -> Any:
    sandbox = Sandbox(str(folder / f"sandbox_{next(numbers)}"), None, str(folder))
    with isolated(sandbox):
        pipeline = dlt.pipeline("it", destination="duckdb", dataset_name="data")
        choose_file_format_freely(pipeline)
        return rows_of(pipeline, rows, **hints)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Decimal("1.0000000000001"), {}),
        (Decimal("1.25"), {"data_type": "decimal", "precision": 5, "scale": 1}),
        (Decimal("1E-8"), {}),
        ("a\0b", {}),
        (-0.0, {}),
        (0.027789301454811566, {}),
        (-0.0016134845861683234, {}),
        (float("nan"), {}),
        (
            datetime.datetime(2026, 1, 2, 3, 4, 5, 678999, UTC),
            {"data_type": "timestamp", "precision": 3},
        ),
        (
            datetime.datetime(2026, 1, 2, 3, 4, 5, 678999, UTC),
            {"data_type": "timestamp", "precision": 0},
        ),
        (
            MOMENT.replace(tzinfo=None),
            {"data_type": "timestamp", "precision": 3, "timezone": False},
        ),
        (2**70, {"data_type": "wei"}),
    ],
    ids=repr,
)
def test_a_value_is_the_same_in_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, hint: dict[str, Any]
) -> None:
    monkeypatch.setattr(extract_and_normalize, "_WORTH_IT_BYTES", 0)
    rows = [{"id": i, "value": i / 7, "odd": value} for i in range(10)]
    hints: Any = {"columns": {"odd": hint}} if hint else {}

    assert in_sandbox(tmp_path, rows, **hints) == in_plain_dlt(tmp_path, rows, **hints)


@pytest.mark.slow
def test_one_value_among_thousands_changes_no_other(tmp_path: Path) -> None:
    # the first rows are written already when the last tells that they must not be
    rows: list[dict[str, Any]] = [{"id": i, "price": Decimal(i) / 4} for i in range(12_000)]
    rows.append({"id": 12_000, "price": Decimal("1.0000000000001"), "lines": [{"text": "a\0b"}]})

    assert in_sandbox(tmp_path, rows) == in_plain_dlt(tmp_path, rows)


precisions = st.sampled_from([None, 0, 3, 6, 9])
moments = st.datetimes()
decimals = st.decimals(-(10**12), 10**12, allow_nan=False)


def with_hint(values: st.SearchStrategy[Any], **hints: Any) -> st.SearchStrategy[Any]:
    """A list of values of one column, and the column's hints."""
    made = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in hints.items()}
    return st.tuples(st.lists(values, min_size=1, max_size=8), st.fixed_dictionaries(made))


COLUMNS = {
    "text": with_hint(st.text()),
    "text of numbers": with_hint(decimals.map(str), data_type="decimal"),
    "double": with_hint(st.floats(allow_nan=False, allow_infinity=False)),
    "small double": with_hint(st.floats(-1, 1)),
    "double or nothing": with_hint(st.floats() | st.none()),
    "integers in a double": with_hint(st.integers(-(2**60), 2**60), data_type="double"),
    "bool": with_hint(st.booleans()),
    "bigint": with_hint(st.integers(-(2**63), 2**63 - 1)),
    "bigint of a precision": with_hint(
        st.integers(-(2**31), 2**31), data_type="bigint", precision=st.sampled_from([8, 16, 32, 64])
    ),
    "decimal": with_hint(decimals),
    "decimal of money": with_hint(st.decimals(-(10**9), 10**9, places=2)),
    "decimal of a precision": with_hint(
        st.decimals(-1000, 1000, places=3),
        data_type="decimal",
        precision=st.integers(5, 38),
        scale=st.integers(0, 5),
    ),
    "wei": with_hint(st.integers(0, 2**200), data_type="wei"),
    "binary": with_hint(st.binary()),
    "date": with_hint(st.dates()),
    "time": with_hint(st.times()),
    "time of a precision": with_hint(st.times(), data_type="time", precision=precisions),
    "timestamp": with_hint(moments),
    "timestamp with a zone": with_hint(moments.map(lambda m: m.replace(tzinfo=UTC))),
    "timestamp of another zone": with_hint(
        moments.filter(lambda m: 1 < m.year < 9999).map(
            lambda m: pendulum.instance(m, tz="America/New_York")
        )
    ),
    "timestamp of a precision": with_hint(
        moments, data_type="timestamp", precision=precisions, timezone=st.booleans()
    ),
    "iso text": with_hint(moments.map(lambda m: m.isoformat())),
    "json": with_hint(
        st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.none())
        | st.lists(st.text() | st.floats(allow_nan=False, allow_infinity=False)),
        data_type="json",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COLUMNS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_values_of_each_type_are_those_of_plain_dlt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, data: st.DataObject
) -> None:
    # as many rows would be
    monkeypatch.setattr(extract_and_normalize, "_WORTH_IT_BYTES", 0)
    values, hint = data.draw(COLUMNS[kind])
    rows = [{"id": i, "odd": value} for i, value in enumerate(values)]
    hints: Any = {"columns": {"odd": hint}} if hint else {}

    assert in_sandbox(tmp_path, rows, **hints) == in_plain_dlt(tmp_path, rows, **hints)
