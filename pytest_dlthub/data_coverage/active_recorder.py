"""Holds the recorder of `--dlt-cov`, if a session has that option. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from pytest_dlthub.data_coverage.facts import Facts


class Takes(Protocol):
    """What the harness reports to; the recorder of `--dlt-cov` implements it."""

    def into(self, facts: Facts) -> AbstractContextManager[None]:
        """Record into `facts` until the block ends."""

    def add(self, facts: Facts) -> None:
        """Add facts that were recorded elsewhere."""

    def finished(self, pipeline: Any, info: Any) -> None:
        """Record a run that has succeeded."""

    def looked(
        self, dataset_name: str, columns: Collection[tuple[str, str]], is_known: bool
    ) -> None:
        """Record columns that code has read (`is_known`), or may have read."""

    def connection_taken(self, dataset_name: str | None, database: str) -> None:
        """Record that code may have read any table of a dataset, by a connection of its own."""

    def relation_read(self, relation: Any) -> None:
        """Record the columns that a relation reads."""

    def origin_of(self, relation: Any, table: str | None) -> Any:
        """Return the table that the rows of a relation come from; None if there is none."""

    def profile_checked(self, profile: str) -> None:
        """Record that everything which a profile declares can be built."""

    def items_yielded(self, data: Any, counts: Mapping[str, int]) -> None:
        """Record what resources have yielded without a load."""

    def loaded_here(self) -> dict[str, Any]:
        """Return what was loaded in this sandbox, as values of JSON."""

    def load_here(self, found: Mapping[str, Any]) -> None:
        """Record that a copy of a template brings these loads into this sandbox."""


_recorder: Takes | None = None


def recorder() -> Takes | None:
    """Return the active recorder; None without `--dlt-cov`."""
    return _recorder


@contextmanager
def recorded_by(one: Takes) -> Iterator[None]:
    """Make `one` the active recorder until the block ends."""
    global _recorder
    before, _recorder = _recorder, one
    try:
        yield
    finally:
        _recorder = before
