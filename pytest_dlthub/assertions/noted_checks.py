"""What checks have found in the test that runs now: whoever fails or expects them asks here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlthub_project.data_quality import CheckResult


@dataclass(frozen=True, eq=False)
class FailedCheck:
    """A check that has failed after a run of a test.

    Attributes:
        pipeline: The pipeline.
        dataset_name: The dataset that it loads.
        load_ids: The loads of the run.
        result: What the check has found.
        lines: The same for people, with some of the rows.
    """

    pipeline: str
    dataset_name: str
    load_ids: tuple[str, ...]
    result: CheckResult
    lines: Sequence[str]

    def is_of(self, table: str, check: str) -> bool:
        """Tell whether it is this check."""
        return (self.result.table, self.result.check) == (table, check)


@dataclass
class NotedChecks:
    """The checks that have failed in one test.

    Attributes:
        failed: All of them, in order.
    """

    failed: list[FailedCheck] = field(default_factory=list)
    _settled: list[FailedCheck] = field(default_factory=list)

    def open(self) -> list[FailedCheck]:
        """Return those that nobody has expected, and no report has told."""
        settled = set(map(id, self._settled))
        return [one for one in list(self.failed) if id(one) not in settled]

    def settle(self, ones: Sequence[FailedCheck]) -> None:
        """Take some as expected or told."""
        self._settled += ones

    def add(self, ones: Sequence[FailedCheck]) -> None:
        """Take some that are new here."""
        known = set(map(id, self.failed))
        self.failed += [one for one in ones if id(one) not in known]


_noted: list[NotedChecks] = []


@contextmanager
def noting(noted: NotedChecks) -> Iterator[None]:
    """Have what is asked in a block be asked of these."""
    _noted.append(noted)
    try:
        yield
    finally:
        _noted.pop()


def noted_now() -> NotedChecks | None:
    """Return the checks of the test that runs now; None where runs are not checked."""
    return _noted[-1] if _noted else None
