"""Runs first tests that were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sessions import run_session

from dlthub_project.dlt_internals import contexts


@pytest.fixture
def run_written(monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run the tests at a path of a project in this process, with its sources as they are now."""

    def run(project: Path, path: Path) -> pytest.RunResult:
        monkeypatch.chdir(project)
        # a process of its own has not imported them
        contexts.forget_references("sources")
        return run_session(project, "-q", "-p", "no:cacheprovider", str(path))

    return run
