"""Records and replays in one test, without a session of its own for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlthub_project.sandbox import Sandbox
from pytest_dlthub.recordings.record_options import Settings
from pytest_dlthub.recordings.recorder import Recorder, recorder_in

Recording = Callable[..., AbstractContextManager[Recorder]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the recording of the test is."""
    return tmp_path / "recordings" / "test_it"


@pytest.fixture
def recording(dlt_isolated: Sandbox, folder: Path) -> Recording:
    """Do in a block as a test in a session with these settings: `with recording(mode="new"):`."""

    @contextmanager
    def entered(mode: str = "", **settings: Any) -> Iterator[Recorder]:
        recorder = Recorder(folder, Settings(mode=mode, **settings))
        with recorder_in(dlt_isolated, lambda: recorder):
            yield recorder
            problem = recorder.finish(must_be_used=False, has_failed=False)
        assert problem is None, problem

    return entered
