"""The hooks that plugins and conftests of users may implement, as they implement pytest's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dlthub.pipeline_run import PipelineRun
    from pytest_dlthub.templates.load_marks import Load


@pytest.hookspec
def pytest_dlt_run_finished(item: pytest.Item, run: PipelineRun) -> None:
    """A pipeline run has ended well, in a test or its fixtures, or where data are loaded once.

    What this raises fails the test when its phase ends, whatever code around the run does with
    errors. Runs that fail are not told, and neither are those of subprocesses, of collection, and
    those that this hook makes itself.

    Args:
        item: The test; for fixtures of wider scope, and loads that tests share, the first one.
        run: What the run has given, as `dlt_runs` has it. Rows can be read.
    """


@pytest.hookspec(firstresult=True)
def pytest_dlt_replace_destination(name: str, declared_type: str) -> object:
    """Say what stands for a destination that is to be replaced; the first answer counts.

    Asked once in each sandbox, where no mark, fixture or configuration of tests says what the
    destination is. The answer opens nothing by itself: what is remote has to be allowed, by ini
    option or marker `dlt_allow_remote`, as everywhere.

    Args:
        name: The name of the destination.
        declared_type: Its type in production, such as `bigquery`; empty where a variable of
            production says it.

    Returns:
        A URL, a type or a mapping, as the fixture `dlt_destinations` has them; None to leave it to
        others, and last of all to a temporary DuckDB.
    """


@pytest.hookspec
def pytest_dlt_template_inputs(load: Load) -> object:
    """Say what data that are loaded once depend on besides: tests share them if it is equal.

    Asked in the test, for each of its `dlt_load` marks.

    Args:
        load: What the mark asks for: its `name`, `source`, `arguments` and `depends_on`.

    Returns:
        Any value that can be compared between processes, such as a version, rows, or a `Path`, of
        which the content counts; None for nothing.
    """


@pytest.hookspec
def pytest_dlt_mask(text: str) -> Iterable[str] | None:
    """Find what is not to be seen in a text that the session prints or writes.

    Asked for every text of six characters or more, so it has to be fast. Where it raises, nothing
    of the text is shown, and the session fails.

    Args:
        text: A part of a report, a line of a log, or what is written to a stream.

    Returns:
        The parts of the text to hide, wherever they stand in it; None, or none, for nothing.
    """
