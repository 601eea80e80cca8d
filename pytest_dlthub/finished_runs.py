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
def failing_by_hook(item: pytest.Item, phase: str) -> Iterator[None]:
    """Fail a phase of a test in which the hook has raised, also where the test is skipped.

    Where the phase fails by itself, its report has what the hook has raised, too.

    Raises:
        HookFailed: The first of what it has raised.
    """
    try:
        yield
    except (pytest.skip.Exception, pytest.xfail.Exception):
        if not (failures := _taken(item)):
            raise
        raise failures[0] from None
    except BaseException:
        for failure in _taken(item):
            item.add_report_section(phase, "dlt hooks", str(failure))
        raise
    if failures := _taken(item):
        raise failures[0]


def _taken(item: pytest.Item) -> list[HookFailed]:
    taken = list(item.stash.get(_FAILURES, ()))
    if taken:
        item.stash[_FAILURES].clear()
    return taken
