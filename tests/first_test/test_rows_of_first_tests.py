"""What a first test is written from: rows in files, what a run has loaded, and what is refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from dlthub_project.errors import ProjectError
from dlthub_project.first_test.expectations import describe
from dlthub_project.first_test.made_up_values import StandIns
from dlthub_project.first_test.recorded_rows import RecordedRows
from dlthub_project.first_test.recording import Item, Recorded


def written(folder: Path, *items: Any) -> dict[str, str]:
    recorded = Recorded("orders", True, frozenset(), [Item(value) for value in items])
    return RecordedRows(folder / "test_load.py", "load").write(
        [recorded], StandIns(keep_values=True)
    )


def test_tables_are_written_as_one_file(tmp_path: Path) -> None:
    page = pa.table({"id": [1]})
    [path] = written(tmp_path, [page], page).values()

    assert path.endswith(".parquet")
    assert pa.parquet.read_table(tmp_path / path).to_pylist() == [{"id": 1}, {"id": 1}]


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (
            [pa.table({"id": [1]}), pa.table({"name": ["a"]})],
            "`orders` yields tables of several schemas, and one file is given",
        ),
        ([{"id": object()}], "`orders` yields a value that no file holds: "),
    ],
)
def test_error_when_no_file_may_hold_the_rows(tmp_path: Path, items: list[Any], told: str) -> None:
    with pytest.raises(ProjectError) as caught:
        written(tmp_path, *items)

    assert told in str(caught.value)


def test_no_file_holds_a_secret_even_where_values_are_kept(tmp_path: Path) -> None:
    [path] = written(tmp_path, {"password": "sesame-open-wide", "name": "Ada"}).values()

    row = json.loads((tmp_path / path).read_text())
    assert row["name"] == "Ada"
    assert "sesame" not in row["password"]


def run_of(rows: list[dict[str, Any]]) -> Any:
    return SimpleNamespace(
        row_counts={"orders": len(rows)},
        tables=["orders"],
        columns=lambda _: {"id": "bigint"},
        rows=lambda _: rows,
        cursors={},
        schema=SimpleNamespace(data_tables=list),
    )


def described(rows: list[dict[str, Any]], folder: Path) -> Any:
    path = folder / "found.json"
    describe(lambda: run_of(rows), str(path))
    return json.loads(path.read_text())["tables"]["orders"]["rows"]


def test_of_what_was_loaded_no_test_holds_secrets_and_what_is_no_code(tmp_path: Path) -> None:
    row = {"id": 1, "password": "sesame-open-wide", "x": float("nan"), "of": object()}

    assert described([row], tmp_path) == [{"id": "1", "password": None, "x": None, "of": None}]
    # of many rows the test holds the number alone
    assert described([{"id": n} for n in range(13)], tmp_path) == []


def test_a_run_that_needs_a_network_is_refused_it_and_others_have_it_again(
    tmp_path: Path,
) -> None:
    def connects() -> Any:
        with socket.socket() as own:
            own.connect(("192.0.2.1", 80))

    for run in (connects, lambda: socket.getaddrinfo("db.invalid", 80)):
        with pytest.raises(OSError, match="is to run without network, and this asks"):
            describe(run, str(tmp_path / "found.json"))

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as own:
        own.connect(server.getsockname())
