"""Which runs of a test are recorded: all of a marked one, and those with `given="recorded"`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from dlt.extract import DltResource, DltSource

from dlthub_project.sandbox import Sandbox, active_sandbox, extracted_through, through_seam
from pytest_dlthub.recordings.record_options import (
    MARK,
    Settings,
    folder_of_test,
    records_transformers,
)
from pytest_dlthub.recordings.recorder import Recorder, recorder_in, recorder_of
from pytest_dlthub.report import RECORDED

_RECORDED = "recorded"


class RecordedTest:
    """The recording of one test, from its setup to its end."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._is_marked = item.get_closest_marker(MARK) is not None
        self._recorder: Recorder | None = None
        self._problem: str | None = None

    @contextmanager
    def in_sandbox(self, sandbox: Sandbox) -> Iterator[None]:
        """Have the runs of a block find it; all of them, if the test is marked.

        Raises:
            RecordingMissing: The test is marked, has no recording, and none is to be made.
        """
        with ExitStack() as stack:
            stack.enter_context(recorder_in(sandbox, self._made))
            if self._is_marked:
                stack.enter_context(self._made().recording_runs(sandbox))
            yield

    def finish(self, *, has_failed: bool) -> None:
        """Write what was recorded, and remember what is wrong."""
        if self._recorder is not None:
            self._problem = self._recorder.finish(
                must_be_used=self._is_marked, has_failed=has_failed
            )
            self._item.stash.setdefault(RECORDED, []).extend(self._recorder.notes)

    def tell(self) -> None:
        """Say what is wrong with the recording.

        Raises:
            Failed: Something is.
        """
        if self._problem is not None:
            pytest.fail(self._problem, pytrace=False)

    def _made(self) -> Recorder:
        if self._recorder is None:
            item = self._item
            transformers = records_transformers(item)
            self._recorder = Recorder(
                folder_of_test(item), Settings.of(item), transformers=transformers
            )
        return self._recorder


@contextmanager
def asked(given: Any, record: str | None, caller: str) -> Iterator[Any]:
    """Do with a run what it asks for: record or replay it, or leave it alone, as rows are given.

    Args:
        given: What the run takes as `given=`.
        record: What it takes as `record=`.
        caller: Its name, for errors.

    Yields:
        What is to be given to the run by hand; None for nothing.

    Raises:
        UsageError: A recording is asked for outside of a test.
        RecordingMissing: There is no recording, and none is to be made.
        TypeError: `record=` is something else, or nothing is recorded.
    """
    if record not in (None, "transformers") or (record and given != _RECORDED):
        raise TypeError(
            f'{caller}: record="transformers" is expected beside given="recorded", or nothing'
        )
    sandbox = active_sandbox()
    if given is None or sandbox is None:
        yield given
    elif isinstance(given, str) and given == _RECORDED:
        recorder = recorder_of(sandbox)
        if recorder is None:
            raise pytest.UsageError(
                f'{caller}: given="recorded" is for runs of a test: a recording has the name of '
                "its test. Give the files: given={...}"
            )
        with recorder.recording_runs(sandbox, transformers=bool(record)):
            yield None
    else:
        with extracted_through(None, sandbox):
            yield given


@contextmanager
def extracted(
    data: DltSource | DltResource, state: Mapping[str, Any]
) -> Iterator[DltSource | DltResource]:
    """Do what a pipeline does with what it extracts, for code that extracts without one.

    Args:
        data: What is extracted.
        state: The state of a pipeline that would extract it.
    """
    sandbox = active_sandbox()
    if sandbox is None:
        yield data
        return
    pipeline: Any = SimpleNamespace(pipeline_name="dlt_items", state=state)
    with through_seam(pipeline, {"data": data}, sandbox) as arguments:
        taken = arguments["data"]
        yield taken[0] if isinstance(taken, list) else taken
