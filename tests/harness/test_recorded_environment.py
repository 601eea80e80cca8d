"""While a template is built, reads of the environment are noted; nobody else sees a difference."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_dlthub.templates.conditions import recorded_reads


def test_threads_and_subprocesses_find_the_environment_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SET_BEFORE", "1")
    with ThreadPoolExecutor(1) as other, recorded_reads():
        assert other.submit(os.environ.get, "SET_BEFORE").result() == "1"
        assert other.submit(os.environ.get, "NOT_SET").result() is None
        other.submit(os.environ.__setitem__, "SET_BY_A_THREAD", "2").result()
        code = "import os; print(os.environ['SET_BEFORE'], os.environ['SET_BY_A_THREAD'])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.split() == [b"1", b"2"]
        del os.environ["SET_BY_A_THREAD"]
        assert dict(os.environ)["SET_BEFORE"] == "1"
    assert os.getenv("SET_BY_A_THREAD") is None


def test_a_build_that_fails_leaves_the_environment_as_it_was() -> None:
    kind, content = type(os.environ), dict(os.environ)
    with pytest.raises(ZeroDivisionError), recorded_reads():
        1 / 0  # noqa: B018  # what fails in the block

    assert type(os.environ) is kind
    assert dict(os.environ) == content
