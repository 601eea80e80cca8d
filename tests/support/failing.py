"""Sources and destinations that fail on purpose, made of real dlt objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt


class Failing:
    """Rows of a resource `items`, which fails after the first page in some attempts.

    Attributes:
        calls: How often it was read.
    """

    def __init__(self, *attempts: int, error: Exception | None = None) -> None:
        self.attempts = attempts
        self.error = error or ConnectionError("the shop is closed")
        self.calls = 0

    def resource(self) -> Any:
        @dlt.resource(name="items")
        def items() -> Iterator[Any]:
            self.calls += 1
            yield [{"id": 1, "tags": [{"name": "new"}]}]
            if self.calls in self.attempts:
                raise self.error
            yield [{"id": 2, "tags": []}]

        return items


class FailingDestination:
    """A destination function that raises in its first calls, and keeps what it is given.

    Attributes:
        calls: How often it was called.
        rows: What it was given when it did not raise.
    """

    def __init__(self, failures: int, error: Callable[[], Exception]) -> None:
        self.failures, self.error = failures, error
        self.calls = 0
        self.rows: list[Any] = []

    def make(self) -> Any:
        @dlt.destination(batch_size=0, name="shop_api")
        def shop_api(path: str, table: Any) -> None:
            self.calls += 1
            if self.calls <= self.failures:
                raise self.error()
            self.rows.append(table["name"])

        return shop_api


@contextmanager
def out_of_reach(database: Path) -> Iterator[None]:
    """Have a folder in the place of a DuckDB file for a while."""
    away = database.with_suffix(".away")
    if database.exists():
        database.rename(away)
    database.mkdir()
    try:
        yield
    finally:
        if database.is_dir():
            come_back(database)


def come_back(database: Path) -> None:
    """Put a DuckDB file that is out of reach back into its place."""
    away = database.with_suffix(".away")
    database.rmdir()
    if away.exists():
        away.rename(database)


def go_away(database: Path) -> None:
    """Put a folder in the place of a DuckDB file."""
    if database.exists():
        database.rename(database.with_suffix(".away"))
    database.mkdir()
