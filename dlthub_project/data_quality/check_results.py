"""What checks have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dlthub_project.data_quality.check_kinds import Severity

Status = Literal["passed", "failed", "unchecked", "error"]


@dataclass(frozen=True)
class CheckResult:
    """What a check has found.

    Attributes:
        table: The table.
        check: The name of the check.
        rows: The rows that were looked at.
        failing: How many rows fail; for `row_count` and `freshness`, 1 if the table fails.
        severity: `error` or `warn`.
        passed: Whether as many rows pass as the check asks for.
        samples: Up to ten rows that fail, without dlt's columns, and without those that are marked
            as personal.
        keys: The values that identify these rows: of their primary key, or of the columns that
            should be unique, or else of `_dlt_id`.
        unchecked: Why nothing was looked at, such as `no rows`; empty if something was.
        error: Why the destination could not answer; empty if it did.
    """

    table: str
    check: str
    rows: int
    failing: int
    severity: Severity
    passed: bool
    samples: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    keys: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    unchecked: str = ""
    error: str = ""

    @property
    def status(self) -> Status:
        """`passed`, `failed`, `unchecked` if there was nothing to look at, or `error`."""
        if self.error:
            return "error"
        if not self.passed:
            return "failed"
        return "unchecked" if self.unchecked else "passed"

    def __str__(self) -> str:
        if self.error:
            return f"{self.table}: {self.check} cannot be checked: {self.error}"
        if self.status == "unchecked":
            return f"{self.table}: {self.check}: {self.unchecked}, so that nothing is checked"
        if self.passed:
            return f"{self.table}: {self.check} holds for {self.rows} rows"
        noun = "row fails" if self.failing == 1 else "rows fail"
        return f"{self.table}: {self.check}: {self.failing} of {self.rows} {noun}"


class CheckResults(Sequence[CheckResult]):
    """What the checks of a dataset have found, in the order of the checks."""

    def __init__(self, results: Sequence[CheckResult]) -> None:
        self._results = tuple(results)

    def __getitem__(self, index: Any) -> Any:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def of(self, table: str, check: str) -> CheckResult:
        """Return the result of a check.

        Raises:
            KeyError: There was no such check.
        """
        for result in self._results:
            if (result.table, result.check) == (table, check):
                return result
        raise KeyError(f"{table}: {check}; there are {[f'{r.table}: {r.check}' for r in self]}")

    @property
    def failed(self) -> CheckResults:
        """The results that did not pass, and those of checks that could not be asked."""
        return CheckResults([result for result in self._results if not result.passed])

    @property
    def is_ok(self) -> bool:
        """Whether no check of severity `error` failed."""
        return not any(result.severity == "error" for result in self.failed)

    def __repr__(self) -> str:
        return f"<CheckResults {len(self)} checks, {len(self.failed)} failed>"
