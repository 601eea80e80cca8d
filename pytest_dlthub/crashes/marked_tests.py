"""The mark `dlt_crash`: breaks the run of such a test at each point."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dlt
import pytest

from dlthub_project.sandbox import active_sandbox, observe_runs, runs_in
from pytest_dlthub.crashes.matrix import Matrix

MARK = "dlt_crash"
_ARGUMENTS = ("kind", "points", "ignore")
_HOW = f'`@pytest.mark.{MARK}(kind="kill", points=[...], ignore=[...])`'


class Failed(Exception):
    """The test fails by itself, without any fault, or is skipped."""


@contextmanager
def broken_before(item: pytest.Item) -> Iterator[None]:
    """Break the run of a test at each point, in forks, if it is marked; then run it in a block.

    Raises:
        Failed: Its pipeline does not survive; or it passes in the block, and fails in a fork, so
            that nothing was tested.
        UsageError: The mark is wrong, or the test runs no pipeline, or several.
    """
    __tracebackhide__ = True
    failure = _check(item)
    yield
    if failure is not None:
        pytest.fail(
            f"{MARK}: nothing was tested. In a fork of this process, the test fails without a "
            f"crash: {failure}",
            pytrace=False,
        )


def _check(item: pytest.Item) -> str | None:
    """Break the run of a marked test; return the error of a fork without any fault."""
    __tracebackhide__ = True
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    if mark.args or not mark.kwargs.keys() <= {*_ARGUMENTS}:
        raise pytest.UsageError(f"{MARK} takes {', '.join(_ARGUMENTS)}, by name: {_HOW}")
    cls = getattr(item, "cls", None)
    if cls is not None and issubclass(cls, unittest.TestCase):
        raise pytest.UsageError(
            f"{MARK}: tests of unittest.TestCase are not run this way; use dlt_run.crashed(...)"
        )
    sandbox = active_sandbox()
    assert sandbox is not None  # the mark asks for it
    matrix = Matrix(
        lambda _: _run(item, is_whole=False),
        sandbox,
        "test",
        run_whole=lambda _: _run(item, is_whole=True),
        **mark.kwargs,
    )
    try:
        matrix.crashes()
    except Failed as failed:
        # the test runs once more, and fails with its own traceback, or is skipped
        return str(failed)
    except AssertionError as error:
        # without a traceback: it has no frame of the test
        pytest.fail(str(error), pytrace=False)
    return None


def _run(item: pytest.Item, *, is_whole: bool) -> dlt.Pipeline:
    """Run the test, and return the pipeline that it has run.

    Its own assertions are about a run that was not interrupted: they hold in the whole one.
    """
    ran: list[dlt.Pipeline] = []

    def note(pipeline: dlt.Pipeline, _info: Any) -> None:
        ran.append(pipeline)

    with observe_runs(note):
        try:
            item.runtest()
        except pytest.skip.Exception as skipped:
            # pytest's own exception does not reach another process
            raise (Failed(f"it is skipped: {skipped}") if is_whole else skipped) from None
        except (Exception, pytest.fail.Exception) as error:
            if is_whole:
                raise Failed(str(error)) from None
            here = active_sandbox()
            assert here is not None  # a copy of that of the test
            if not ran or any(ended.failure is not None for ended in runs_in(here.folder)):
                raise
    names = sorted({pipeline.pipeline_name for pipeline in ran})
    if len(names) != 1:
        listed = f"runs {', '.join(names)}" if names else "runs none that succeeds"
        raise pytest.UsageError(
            f"{MARK}: a marked test must run one pipeline, and this one {listed}; "
            "use dlt_run.crashed(...) or dlt_project.crashed(...) for one of them"
        )
    return ran[-1]
