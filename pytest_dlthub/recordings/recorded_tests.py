"""Records or replays runs of a test: all if it is marked, else those with `given="recorded"`."""

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
        """Let the runs of a block use the recording: all of them, if the test is marked.

        Raises:
            RecordingMissing: The test is marked, has no recording, and is not recorded now.
        """
        with ExitStack() as stack:
            stack.enter_context(recorder_in(sandbox, self._made))
            if self._is_marked:
                stack.enter_context(self._made().recording_runs(sandbox))
            yield

    def finish(self, *, has_failed: bool) -> None:
        """Write the recording, and remember what is wrong with it."""
        if self._recorder is not None:
            self._problem = self._recorder.finish(
                must_be_used=self._is_marked, has_failed=has_failed
            )
            self._item.stash.setdefault(RECORDED, []).extend(self._recorder.notes)

    def tell(self) -> None:
        """Say what is wrong with the recording.

        Raises:
            Failed: Something is wrong.
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
    """Record or replay a run if it asks for that; leave it alone if the test gives rows.

    Args:
        given: The argument `given=` of the run.
        record: Its argument `record=`.
        caller: Its name, for errors.

    Yields:
        The rows that the test itself gives; None for none.

    Raises:
        UsageError: The run is not part of a test.
        RecordingMissing: There is no recording, and none is made now.
        TypeError: `record=` has a wrong value, or the run is not recorded.
    """
    if record not in (None, "transformers") or (record and given != _RECORDED):
        raise TypeError(f'{caller}: given="recorded" takes record="transformers", or nothing')
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
    """Record or replay data that code extracts without a pipeline.

    Args:
        data: The data to extract.
        state: The state of a pipeline that would extract them.
    """
    sandbox = active_sandbox()
    if sandbox is None:
        yield data
        return
    pipeline: Any = SimpleNamespace(pipeline_name="dlt_items", state=state)
    with through_seam(pipeline, {"data": data}, sandbox) as arguments:
        taken = arguments["data"]
        yield taken[0] if isinstance(taken, list) else taken
