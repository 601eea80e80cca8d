"""The hooks that plugins and conftests of users may implement, just as hooks of pytest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dlthub.pipeline_run import PipelineRun
    from pytest_dlthub.templates.load_marks import Load


@pytest.hookspec
def pytest_dlt_run_finished(item: pytest.Item, run: PipelineRun) -> None:
    """A pipeline run has succeeded: in a test, in a fixture, or in a load that tests share.

    If an implementation raises, the test fails at the end of its phase, even if code around the run
    handles errors. pytest does not call this hook for runs that fail, for runs in subprocesses or
    during collection, or for runs that the hook itself starts.

    Args:
        item: The test; for fixtures of wider scope, and for shared loads, the first test.
        run: The result of the run, as `dlt_runs` has it. Its rows can be read.
    """


@pytest.hookspec(firstresult=True)
def pytest_dlt_replace_destination(name: str, declared_type: str) -> object:
    """Choose the replacement of a destination in tests; the first answer counts.

    pytest calls this hook once in each sandbox, unless a mark, a fixture or the configuration of
    tests says what the destination is. A remote replacement still has to be allowed, by the ini
    option or marker `dlt_allow_remote`.

    Args:
        name: The name of the destination.
        declared_type: Its type in production, such as `bigquery`; empty if only a variable of
            production holds it.

    Returns:
        A URL, a type or a mapping, as in the fixture `dlt_destinations`; None to leave the choice
        to other plugins, and finally to a temporary DuckDB.
    """


@pytest.hookspec
def pytest_dlt_template_inputs(load: Load) -> object:
    """Name further inputs of data that are loaded once: tests share a load if these are equal.

    pytest calls this hook in the test, for each of its `dlt_load` marks.

    Args:
        load: What the mark asks for: its `name`, `source`, `arguments` and `depends_on`.

    Returns:
        Any value that processes can compare, such as a version, rows, or a `Path`, whose content
        counts; None for nothing.
    """


@pytest.hookspec
def pytest_dlt_mask(text: str) -> Iterable[str] | None:
    """Find secrets in a text that the session prints or writes.

    pytest calls this hook for every text of six characters or more, so it has to be fast. If it
    raises, the session shows nothing of the text, and fails.

    Args:
        text: A part of a report, a line of a log, or a text that goes to a stream.

    Returns:
        The parts of the text to hide, wherever they occur in it; None or an empty list if it has no
        secrets.
    """
