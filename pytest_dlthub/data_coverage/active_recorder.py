"""Who takes down what tests do with data; mostly nobody. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from pytest_dlthub.data_coverage.facts import Facts


class Takes(Protocol):
    """What the harness tells; the recorder is one."""

    def into(self, facts: Facts) -> AbstractContextManager[None]:
        """Take down in a block into other facts."""

    def add(self, facts: Facts) -> None:
        """Take what was taken down elsewhere."""

    def finished(self, pipeline: Any, info: Any) -> None:
        """Take down a run that has ended well."""

    def looked(
        self, dataset_name: str, columns: Collection[tuple[str, str]], is_known: bool
    ) -> None:
        """Take down columns that code has looked at, or may have."""

    def connection_taken(self, dataset_name: str | None, database: str) -> None:
        """Take down that code may have looked at anything."""

    def relation_read(self, relation: Any) -> None:
        """Take down the columns that a relation of code reads."""

    def origin_of(self, relation: Any, table: str | None) -> Any:
        """Return where rows of a relation come from; None where that is no table."""

    def profile_checked(self, profile: str) -> None:
        """Take down that all of a profile can be built."""

    def items_yielded(self, data: Any, counts: Mapping[str, int]) -> None:
        """Take down what resources have yielded without a load."""

    def loaded_here(self) -> dict[str, Any]:
        """Return what was loaded in this sandbox, as JSON has it."""

    def load_here(self, found: Mapping[str, Any]) -> None:
        """Have the same loaded in this sandbox."""


_recorder: Takes | None = None


def recorder() -> Takes | None:
    """Return who takes it down; None if nobody does."""
    return _recorder


@contextmanager
def recorded_by(one: Takes) -> Iterator[None]:
    """Have somebody take it down in a block."""
    global _recorder
    before, _recorder = _recorder, one
    try:
        yield
    finally:
        _recorder = before
