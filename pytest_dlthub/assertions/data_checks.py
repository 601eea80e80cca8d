"""`assert_checks` and `raises_check`: tests use the checks that production runs."""

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
    checks_of,
    without_rows,
)
from dlthub_project.errors import LoadFailedChecks
from pytest_dlthub.assertions.noted_checks import FailedCheck, note_results, noted_now
from pytest_dlthub.assertions.relation_checks import shown
from pytest_dlthub.assertions.run_checks import FinishedRun
from pytest_dlthub.data_coverage.reads import looking


class ChecksFailed(AssertionError):
    """Checks of a dataset do not hold.

    Attributes:
        results: The results of all checks.
        dataset_name: The dataset.
        load_ids: The loads of the run; None for a dataset.
    """

    dataset_name: str = ""
    load_ids: Sequence[str] | None = None

    def __init__(self, results: CheckResults, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.results = results


@looking
def assert_checks(
    run_or_dataset: FinishedRun | dlt.Dataset,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> None:
    """Assert that checks pass: those that resources declare by `with_checks`, or others.

    A check of severity `warn` may fail.

    Args:
        run_or_dataset: A run, or a dataset.
        checks: Checks by table; None for those of `with_checks`.

    Raises:
        ChecksFailed: Checks fail, and the message shows rows; or a check has no rows to look at,
            which proves nothing. It is an `AssertionError`.
        AssertionError: There are no checks.
        ProjectError: There is no such table or column.
    """
    __tracebackhide__ = True
    results = checked(run_or_dataset, checks)
    if not results:
        raise AssertionError(
            "no checks: no resource has any (`with_checks`), so that nothing is checked"
        )
    lines: list[str] = []
    for result in results:
        if result.status == "unchecked":
            lines.append(str(result))
        elif not result.passed and result.severity == "error":
            lines += lines_of(result)
    if lines:
        failed = ChecksFailed(results, lines)
        dataset, failed.load_ids = _asked(run_or_dataset)
        failed.dataset_name = dataset.dataset_name
        raise failed


def checked(
    run_or_dataset: FinishedRun | dlt.Dataset,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> CheckResults:
    """Run the checks of a run or dataset, and return their results; see `assert_checks`."""
    dataset, load_ids = _asked(run_or_dataset)
    found = checks_of(dataset) if checks is None else checks
    results = CheckSuite(dataset, found, load_ids).run()
    note_results(dataset, found, results)
    if checks is not None or isinstance(run_or_dataset, dlt.Dataset):
        return results
    run = run_or_dataset
    return CheckResults([*results, *without_rows(dataset, run.pipeline.last_trace, run.load_info)])


def _asked(run_or_dataset: Any) -> tuple[dlt.Dataset, list[str] | None]:
    given = run_or_dataset
    if isinstance(given, dlt.Dataset):
        return given, None
    if hasattr(given, "load_info") and isinstance(getattr(given, "dataset", None), dlt.Dataset):
        return given.dataset, list(given.load_info.loads_ids) if given.load_info else []
    raise TypeError(
        f"assert_checks: {type(given).__name__} is no run, and no dataset; give a run, or "
        "pipeline.dataset()"
    )


@contextmanager
def raises_check(table: str, check: str) -> Iterator[None]:
    """Expect that this check fails in a block, and so prove that it can fail.

    It may fail in `assert_checks`, in a run (`on_failed_check`), or after any run of the block if
    runs are checked (`dlt_checks`).

    Args:
        table: The table.
        check: The name of the check, such as `id__is_unique`; or its kind, such as `is_unique`, if
            the table has one check of that kind.

    Raises:
        AssertionError: The check passes, or did not run.
    """
    __tracebackhide__ = True
    noted = noted_now()
    before = len(noted.failed) if noted is not None else 0
    try:
        yield
    except (ChecksFailed, LoadFailedChecks) as failed:
        result = _found(table, check, failed.results, failed)
        if result.passed:
            raise AssertionError(f"raises_check: {result}, and others fail") from failed
        if noted is not None:
            own = [one for one in noted.failed if one.is_of(table, result.check)]
            of_block = noted.failed[before:]
            noted.settle([one for one in own if one in of_block or _is_of(one, failed)])
        return
    found = [] if noted is None else [o for o in noted.failed[before:] if o.result.table == table]
    names = {one.result.check for one in found}
    if not _matching(check, names):
        where = "" if noted else "; runs are checked with dlt_checks = on, or by assert_checks"
        raise AssertionError(f"raises_check: {table}: {check} did not fail{where}")
    assert noted is not None
    name = _one(table, check, names)
    noted.settle([one for one in found if one.result.check == name])


def _is_of(one: FailedCheck, failed: ChecksFailed | LoadFailedChecks) -> bool:
    """Tell whether a check has failed for the same run or dataset as an assertion."""
    if isinstance(failed, LoadFailedChecks):
        return False
    is_run = failed.load_ids is None or tuple(failed.load_ids) == one.load_ids
    return is_run and one.dataset_name == failed.dataset_name


def _found(table: str, check: str, results: CheckResults, failed: Exception) -> CheckResult:
    names = {result.check for result in results if result.table == table}
    try:
        return results.of(table, _one(table, check, names))
    except KeyError as error:
        raise AssertionError(f"raises_check: no such check: {error.args[0]}") from failed


def _matching(check: str, names: set[str]) -> list[str]:
    """Return the check of that name, or else the checks of that kind."""
    return [check] if check in names else sorted(n for n in names if n.endswith(f"__{check}"))


def _one(table: str, check: str, names: set[str]) -> str:
    meant = _matching(check, names)
    if len(meant) > 1:
        raise AssertionError(f"raises_check: {table}: `{check}` may be {' or '.join(meant)}")
    return meant[0] if meant else check


def lines_of(result: CheckResult) -> list[str]:
    """Return the lines about a failed check, with some of its rows."""
    rows = shown(result.samples)
    more = result.failing - len(rows)
    return [str(result), *rows, *([f"  and {more} more"] if rows and more > 0 else [])]
