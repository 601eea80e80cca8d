"""Tells the hook `pytest_dlt_run_finished` of runs, and fails the test where it raises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION
from pytest_dlthub.hook_calls import HookFailed, called, of_others

if TYPE_CHECKING:
    import dlt

    from pytest_dlthub.pipeline_run import PipelineRun


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
    checks = item.config.stash[SESSION].checks

    def finished(pipeline: dlt.Pipeline, info: Any) -> None:
        hook = item.ihook.pytest_dlt_run_finished
        if _here.is_telling:
            return
        if checks:
            with telling():
                checked_runs().look_at(item, pipeline, info)
        if not (RUNS in item.stash or of_others(hook)):
            # most runs are for nobody
            return
        from pytest_dlthub.dlt_run import finished_run

        try:
            tell(item, finished_run(pipeline, info))
        except HookFailed as failure:
            # not in the middle of code that may handle errors, or run again
            item.stash[_FAILURES].append(failure)

    with observe_runs(finished), checked_runs().checked(item) if checks else nullcontext():
        yield


def checked_runs() -> Any:
    """Return what checks runs; not imported where nobody wants that, since it imports dlt."""
    from pytest_dlthub import checked_runs

    return checked_runs


def is_telling() -> bool:
    """Whether this thread is telling, or checks, a run: those that come of it are not told."""
    return _here.is_telling


@contextmanager
def telling() -> Iterator[None]:
    """Have the runs of a block in this thread told to nobody."""
    _here.is_telling = True
    try:
        yield
    finally:
        _here.is_telling = False


def tell(item: pytest.Item, run: PipelineRun) -> None:
    """Tell the hook of one run.

    Raises:
        HookFailed: An implementation has raised.
    """
    try:
        with telling():
            called(item.ihook.pytest_dlt_run_finished, item=item, run=run)
    except pytest.skip.Exception as skipped:
        message = f"pytest_dlt_run_finished of a plugin skipped: {skipped}"
        raise HookFailed(message, message) from None


def note_run(item: pytest.Item, run: PipelineRun) -> None:
    """Let `dlt_runs` have a run; not one whose data tests have copies of."""
    from dlthub_project.sandbox import is_unobserved

    if (runs := item.stash.get(RUNS, None)) is not None and not is_unobserved():
        runs.add(run)


@contextmanager
def failing(item: pytest.Item, phase: str) -> Iterator[None]:
    """Fail a phase of a test by what the hook has raised in it, and by checks, if it is no failure.

    Raises:
        HookFailed: The first of what the hook has raised, also where the test is skipped.
        ChecksFailed: Checks have failed; not at the end of a setup: the test may expect it.
    """
    try:
        yield
    except (pytest.skip.Exception, pytest.xfail.Exception):
        if failure := _failure(item, checks=True):
            raise failure from None
        raise
    if failure := _failure(item, checks=phase != "setup"):
        raise failure


def _failure(item: pytest.Item, *, checks: bool) -> BaseException | None:
    if failures := item.stash.get(_FAILURES, None):
        return failures[0]
    if not (checks and item.config.stash[SESSION].checks):
        return None
    found: BaseException | None = checked_runs().raised(item)
    return found


def settle(item: pytest.Item, report: pytest.TestReport) -> None:
    """Have the report of a phase say what the hook has raised in it, and fail for it.

    The raised error alone would be lost: `unittest` has a skipped test go first, and a test that
    is expected to fail is not expected to fail a check of somebody else's.
    """
    if item.config.stash[SESSION].checks:
        checked_runs().settle(item, report)
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
