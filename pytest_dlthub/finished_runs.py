"""Calls the hook `pytest_dlt_run_finished` for runs, and fails the test if it raises."""

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
    """Whether this thread calls the hook now. We do not call it again for runs that it starts."""

    is_telling: bool = False


RUNS = pytest.StashKey[Any]()
"""The object of the fixture `dlt_runs`, while a test has it."""

_FAILURES = pytest.StashKey[list[HookFailed]]()
_here = _Here()


@contextmanager
def told_to_hook(item: pytest.Item) -> Iterator[None]:
    """Call the hook for each run of a test; the block lasts from its setup to its teardown."""
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
            # mostly nobody wants to know
            return
        from pytest_dlthub.dlt_run import finished_run

        try:
            tell(item, finished_run(pipeline, info))
        except HookFailed as failure:
            # raised when the phase ends: here, code of the test may handle errors or try again
            item.stash[_FAILURES].append(failure)

    with observe_runs(finished), checked_runs().checked(item) if checks else nullcontext():
        yield


def checked_runs() -> Any:
    """Return the module `checked_runs`. It imports dlt, so only sessions with checks import it."""
    from pytest_dlthub import checked_runs

    return checked_runs


def is_telling() -> bool:
    """Tell whether this thread calls the hook or checks a run, and so starts runs of its own."""
    return _here.is_telling


@contextmanager
def telling() -> Iterator[None]:
    """Ignore the runs of a block in this thread."""
    _here.is_telling = True
    try:
        yield
    finally:
        _here.is_telling = False


def tell(item: pytest.Item, run: PipelineRun) -> None:
    """Call the hook for one run.

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
    """Add a run to `dlt_runs`, unless it builds a template, of which tests get copies."""
    from dlthub_project.sandbox import is_unobserved

    if (runs := item.stash.get(RUNS, None)) is not None and not is_unobserved():
        runs.add(run)


@contextmanager
def failing(item: pytest.Item, phase: str) -> Iterator[None]:
    """Fail a phase of a test if the hook has raised in it, or checks have failed.

    Raises:
        HookFailed: The hook has raised; this is its first error. A skipped test fails, too.
        ChecksFailed: Checks have failed. Not at the end of a setup, as the test may expect it.
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
    """Add the errors of the hook to the report of a phase, and make it a failure.

    An error that is only raised could get lost: `unittest` prefers that a test is skipped, and an
    `xfail` test expects failures of its own, not those of another plugin.
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
