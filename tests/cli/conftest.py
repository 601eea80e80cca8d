"""The `dlt` program, as users call it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
import sessions
from terminal import Terminal

from dlthub_project.dlt_internals import contexts

DltProgram = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dlt_main(
    capfd: pytest.CaptureFixture[str],
) -> DltProgram:
    """Call `dlt` in the working directory, as in a pipe: `dlt_main("project", "info")`.

    It is the program's main function, in this process; `answers` are the lines that somebody types
    at a terminal.
    """

    def call(
        *arguments: str, answers: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        # what the program sets is gone with its process
        before = dict(os.environ)
        suspended = contexts.suspend_contexts()
        os.environ.update({"NO_COLOR": "1", "COLUMNS": "200", **environment})
        capfd.readouterr()
        try:
            status = sessions.dlt_main([*arguments], None if answers is None else Terminal(answers))
        finally:
            contexts.resume_contexts(suspended)
            os.environ.clear()
            os.environ.update(before)
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(["dlt", *arguments], status, out, err)

    return call
