"""What a run has loaded, as code for a test. It is called within a session of pytest."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from dlthub_project.errors import ProjectError
from dlthub_project.first_test.literals import literal
from dlthub_project.first_test.made_up_values import is_secret_value

_MOST_ROWS = 12


class Run(Protocol):
    """What a first test reads of a run; `dlt_project.run` returns one."""

    @property
    def tables(self) -> list[str]:
        """The names of the data tables."""

    @property
    def row_counts(self) -> Mapping[str, int]:
        """The rows by table."""

    @property
    def cursors(self) -> Mapping[str, Any]:
        """The last value of every incremental cursor."""

    @property
    def schema(self) -> Any:
        """The schema."""

    @property
    def dataset(self) -> Any:
        """The dataset."""

    def next(self) -> Run:
        """Run once more."""

    def columns(self, table: str) -> Mapping[str, str]:
        """Return the data types by column."""

    def rows(self, table: str) -> list[Any]:
        """Return the rows of a table."""


def describe(run: Callable[[], Run], path: str) -> None:
    """Run without network, and write what was loaded to a file, as JSON of code.

    Args:
        run: Runs the pipeline.
        path: The file.
    """
    with _without_network():
        done = run()
    described = {
        "row_counts": dict(sorted(done.row_counts.items())),
        "cursors": {name: _code(name, value) for name, value in sorted(done.cursors.items())},
        "dispositions": [
            table.get("write_disposition", "append")
            for table in done.schema.data_tables()
            if not table.get("parent")
        ],
        "tables": {
            table: {"columns": dict(done.columns(table)), "rows": _rows(done.rows(table))}
            for table in sorted(done.tables)
        },
    }
    Path(path).write_text(json.dumps(described), encoding="utf-8")


def describe_two(run: Callable[[], Run], path: str) -> None:
    """Run twice without network, and write what each run has loaded to a file.

    Args:
        run: Runs the pipeline.
        path: The file.
    """
    with _without_network():
        first = run()
        described = {"first": _counts(first), "second": _counts(first.next())}
    Path(path).write_text(json.dumps(described), encoding="utf-8")


def _counts(run: Run) -> dict[str, dict[str, int]]:
    rows = dict(run.dataset.row_counts().fetchall())
    return {
        "row_counts": dict(sorted(run.row_counts.items())),
        "rows": dict(sorted(rows.items())),
    }


def _rows(rows: list[Mapping[str, Any]]) -> list[dict[str, str | None]]:
    """Return the rows as code by column, None for what a test may not hold; none of many rows."""
    if len(rows) > _MOST_ROWS:
        return []
    return [{name: _code(name, value) for name, value in row.items()} for row in rows]


def _code(name: str, value: Any) -> str | None:
    if is_secret_value((name,), value) or value != value:
        return None
    try:
        return literal(value)
    except ProjectError:
        return None


@contextmanager
def _without_network() -> Iterator[None]:
    """Refuse connections of Python's sockets in a block: the test must not need any."""
    names = ("connect", "connect_ex")
    originals = {name: getattr(socket.socket, name) for name in names}
    look_up = socket.getaddrinfo

    def refuse(own: socket.socket, address: Any) -> Any:
        if own.family == getattr(socket, "AF_UNIX", None):
            return originals["connect"](own, address)
        raise OSError(f"a first test is to run without network, and this asks {address}")

    def refuse_look_up(host: Any, *_: Any, **__: Any) -> Any:
        raise OSError(f"a first test is to run without network, and this asks {host}")

    for name in names:
        setattr(socket.socket, name, refuse)
    socket.getaddrinfo = refuse_look_up
    try:
        yield
    finally:
        socket.getaddrinfo = look_up
        for name, original in originals.items():
            setattr(socket.socket, name, original)
