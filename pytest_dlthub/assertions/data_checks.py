"""The assertion that the checks of a dataset hold, those of production."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dlt

from dlthub_project.data_quality import (
    Check,
    CheckResult,
    CheckResults,
    CheckSuite,
    attached_checks,
)
from pytest_dlthub.assertions.relation_checks import shown
from pytest_dlthub.assertions.run_checks import FinishedRun
from pytest_dlthub.data_coverage.reads import looking


class ChecksFailed(AssertionError):
    """Checks of a dataset do not hold.

    Attributes:
        results: What all checks have found.
    """

    def __init__(self, results: CheckResults, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.results = results


@looking
def assert_checks(
    run_or_dataset: FinishedRun | dlt.Dataset,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> None:
    """Assert that checks hold: those that resources bring with them, or others.

    A check of severity `warn` may fail.

    Args:
        run_or_dataset: A run, or a dataset.
        checks: Checks by table; None for those of `with_checks`.

    Raises:
        ChecksFailed: It is an `AssertionError`. Some do not hold, and the rows are told; or a check
            looked at no rows, which says nothing.
        AssertionError: There are no checks.
        ProjectError: There is no such table or column.
    """
    __tracebackhide__ = True
    results = checked(run_or_dataset, checks)
    if not results:
        raise AssertionError(
            "no checks: no resource brings any (`with_checks`), so that nothing is checked"
        )
    lines: list[str] = []
    for result in results:
        if not result.rows and result.passed:
            lines.append(f"{result.table}: {result.check}: no rows, so that nothing is checked")
        elif not result.passed and result.severity == "error":
            lines += [str(result), *_samples(result)]
    if lines:
        raise ChecksFailed(results, lines)


def checked(
    run_or_dataset: FinishedRun | dlt.Dataset,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> CheckResults:
    """Return what the checks of a run or dataset find; see `assert_checks`."""
    given: Any = run_or_dataset
    if isinstance(given, dlt.Dataset):
        dataset, load_ids = given, None
    elif hasattr(given, "load_info") and isinstance(getattr(given, "dataset", None), dlt.Dataset):
        dataset = given.dataset
        load_ids = list(given.load_info.loads_ids) if given.load_info else []
    else:
        raise TypeError(
            f"assert_checks: {type(given).__name__} is no run, and no dataset; give a run, or "
            "pipeline.dataset()"
        )
    found = attached_checks(dataset.schema) if checks is None else checks
    return CheckSuite(dataset, found, load_ids).run()


@contextmanager
def raises_check(table: str, check: str) -> Iterator[None]:
    """Expect that `assert_checks` fails in a block, by this check: it can be red.

    Args:
        table: The table.
        check: The name of the check, such as `id__is_unique`.

    Raises:
        AssertionError: The check holds, or was not looked at.
    """
    __tracebackhide__ = True
    try:
        yield
    except ChecksFailed as failed:
        try:
            result = failed.results.of(table, check)
        except KeyError as error:
            raise AssertionError(f"raises_check: no such check: {error.args[0]}") from failed
        if result.passed:
            raise AssertionError(f"raises_check: {result}, and others fail") from failed
        return
    raise AssertionError(f"raises_check: {table}: {check} did not fail")


def _samples(result: CheckResult) -> list[str]:
    rows = shown(result.samples)
    more = result.failing - len(rows)
    return [*rows, f"  and {more} more"] if rows and more > 0 else rows
