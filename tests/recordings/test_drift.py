"""`--dlt-record=compare`: what a source yields now, against what was recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest

from pytest_dlthub import DltRun
from pytest_dlthub.recordings.recorder import Recorder

Recording = Callable[..., AbstractContextManager[Recorder]]

BEFORE = [
    [{"id": 1, "price": 1, "note": "a", "old": 1}, {"id": 2, "price": 2, "note": "b", "old": 1}],
    [{"id": 3, "price": 3, "note": "c", "old": 1}, {"id": 4, "price": 4, "note": "d", "old": 1}],
]
API: list[Any] = []


@dlt.resource
def orders() -> Any:
    yield from API


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("now", "told"),
    [
        (BEFORE, []),
        # other rows of the same form, and a null in a field that had a text
        ([[{"id": 9, "price": 9, "note": None, "old": 2}]], []),
        (
            [
                [{"id": 1, "price": "dear", "note": "a", "lines": [{"n": 1}]}],
                [{"id": 2, "price": "dear", "note": "b", "lines": []}],
            ],
            [
                "breaking: column orders.old removed",
                "breaking: column orders.price: bigint → text",
                "additive: new table orders__lines",
                "additive: resource orders: pages of up to 2 → pages of up to 1",
            ],
        ),
        (
            [row for page in BEFORE for row in page],
            ["breaking: resource orders: pages of up to 2 → rows one by one"],
        ),
        (
            [pa.Table.from_pylist(page) for page in BEFORE],
            ["breaking: resource orders: pages of up to 2 → tables of arrow of up to 2"],
        ),
    ],
    ids=["the same", "other values", "fields", "rows one by one", "arrow"],
)
def test_what_has_changed_is_told_as_of_a_schema_and_no_file_changes(
    recording: Recording, folder: Path, now: list[Any], told: list[str]
) -> None:
    API[:] = BEFORE
    with recording(mode="new"):
        DltRun()(orders, given="recorded")
    files = {path: path.read_bytes() for path in folder.iterdir()}
    API[:] = now

    def compare() -> None:
        with recording(mode="compare"):
            run = DltRun()(orders, given="recorded", pipeline_name="dlt_run")
            # the test runs on the recording
            assert run.row_counts == {"orders": 4}

    if told:
        with pytest.raises(AssertionError, match="the source has changed since") as raised:
            compare()
        assert [line.strip() for line in str(raised.value).splitlines()[1:-1]][: len(told)] == told
    else:
        compare()
    assert {path: path.read_bytes() for path in folder.iterdir()} == files
