"""Keeps the results of checks in the running test, for those who fail by them or expect them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt

    from dlthub_project.data_quality import Check, CheckResult, CheckResults


@dataclass(frozen=True, eq=False)
class FailedCheck:
    """A check that has failed after a run of a test.

    Attributes:
        pipeline: The pipeline.
        dataset_name: The dataset that it loads.
        load_ids: The loads of the run.
        result: The result of the check.
        lines: The same as text, with some of the rows.
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
        """Return the failed checks that no test has expected, and no report has told."""
        settled = set(map(id, self._settled))
        return [one for one in list(self.failed) if id(one) not in settled]

    def settle(self, ones: Sequence[FailedCheck]) -> None:
        """Mark checks as expected or told."""
        self._settled += ones

    def begin_again(self) -> None:
        """Begin another attempt at the test: a check that fails again is told again."""
        self.failed = self.open()
        self._settled.clear()

    def add(self, ones: Sequence[FailedCheck]) -> None:
        """Add failed checks that are not here yet."""
        known = set(map(id, self.failed))
        self.failed += [one for one in ones if id(one) not in known]


_noted: list[NotedChecks] = []


@contextmanager
def noting(noted: NotedChecks) -> Iterator[None]:
    """Make `noted` the answer of `noted_now` until the block ends."""
    _noted.append(noted)
    try:
        yield
    finally:
        _noted.pop()


def noted_now() -> NotedChecks | None:
    """Return the failed checks of the running test; None if runs are not checked."""
    return _noted[-1] if _noted else None


# the checks that have run, by their identity
_looked_at: dict[str, dict[str, Any]] = {}


def identity(name: str, check: Check) -> str:
    """Return a name for a check that stays the same in later sessions.

    Args:
        name: Its table, or the resource that declares it.
        check: The check.
    """
    # a digest: a check may have values that must not be in a file
    return hashlib.sha256(f"{name}\n{check.definition}".encode()).hexdigest()[:24]


def note_results(
    dataset: dlt.Dataset, checks: Mapping[str, Sequence[Check]], results: CheckResults
) -> None:
    """Note which checks have run, and which of them have failed.

    Args:
        dataset: The dataset.
        checks: The checks by table.
        results: Their results.
    """
    found = {(result.table, result.check): result for result in results}
    resources: dict[str, str] = {
        name: str(table.get("resource") or name)
        for schema in dataset.schemas
        for name, table in schema.tables.items()
    }
    for table, of_table in checks.items():
        for check in of_table:
            result = found.get((table, check.name))
            if result is None or result.error or (result.unchecked and result.passed):
                continue
            resource = resources.get(table, table)
            entry = {
                "table": table,
                "resource": resource,
                "check": check.name,
                "also": identity(resource, check),
                "failed": False,
            }
            noted = _looked_at.setdefault(identity(table, check), entry)
            noted["failed"] = noted["failed"] or not result.passed


def taken_results() -> dict[str, dict[str, Any]]:
    """Return the checks that have run since the last call."""
    found = dict(_looked_at)
    _looked_at.clear()
    return found
