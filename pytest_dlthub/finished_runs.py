"""Tells the hook `pytest_dlt_run_finished` of runs, and fails the test where it raises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.hook_calls import HookFailed, called, of_others

if TYPE_CHECKING:
    import dlt

    from pytest_dlthub.run import PipelineRun


class _Here(threading.local):
    """Whether this thread is telling already: runs that the hook makes are not told."""

    is_telling: bool = False


RUNS = pytest.StashKey[Any]()
"""What `dlt_runs` gives, for as long as a test has it."""

_FAILURES = pytest.StashKey[list[HookFailed]]()
_here = _Here()


@contextmanager
def told_to_hook(item: pytest.Item) -> Iterator[None]:
    """Tell the hook of each run in a block: that of a test, from its setup to its teardown."""
    from dlthub_project.sandbox import observe_runs

    item.stash[_FAILURES] = []

    def finished(pipeline: dlt.Pipeline, info: Any) -> None:
        hook = item.ihook.pytest_dlt_run_finished
        if _here.is_telling or not (RUNS in item.stash or of_others(hook)):
            # most runs are for nobody
            return
        from pytest_dlthub.dlt_run import finished_run

        try:
            tell(item, finished_run(pipeline, info))
        except HookFailed as failure:
            # not in the middle of code that may handle errors, or run again
            item.stash[_FAILURES].append(failure)

    with observe_runs(finished):
        yield


def tell(item: pytest.Item, run: PipelineRun) -> None:
    """Tell the hook of one run.

    Raises:
        HookFailed: An implementation has raised.
    """
    _here.is_telling = True
    try:
        called(item.ihook.pytest_dlt_run_finished, item=item, run=run)
    except pytest.skip.Exception as skipped:
        message = f"pytest_dlt_run_finished of a plugin skipped: {skipped}"
        raise HookFailed(message, message) from None
    finally:
        _here.is_telling = False


def note_run(item: pytest.Item, run: PipelineRun) -> None:
    """Let `dlt_runs` have a run; not one whose data tests have copies of."""
    from dlthub_project.sandbox import is_unobserved

    if (runs := item.stash.get(RUNS, None)) is not None and not is_unobserved():
        runs.add(run)


@contextmanager
def failing_by_hook(item: pytest.Item) -> Iterator[None]:
    """Fail a phase of a test in which the hook has raised, also where the test is skipped.

    Raises:
        HookFailed: The first of what it has raised, if the phase does not fail by itself.
    """
    try:
        yield
    except (pytest.skip.Exception, pytest.xfail.Exception):
        if failures := item.stash.get(_FAILURES, None):
            raise failures[0] from None
        raise
    if failures := item.stash.get(_FAILURES, None):
        raise failures[0]


def settle(item: pytest.Item, report: pytest.TestReport) -> None:
    """Have the report of a phase say what the hook has raised in it, and fail for it.

    The raised error alone would be lost: `unittest` has a skipped test go first, and a test that
    is expected to fail is not expected to fail a check of somebody else's.
    """
    failures = [str(failure) for failure in item.stash.get(_FAILURES, ())]
    if not failures:
        return
    item.stash[_FAILURES].clear()
    if not report.failed:
        report.outcome, report.longrepr = "failed", failures[0]
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    elsewhere = [failure for failure in failures if failure not in report.longreprtext]
    report.sections += [("dlt hooks", failure) for failure in elsewhere]
