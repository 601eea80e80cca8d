"""The `dlt` program, as users call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from dlt._workspace.cli import _debug, _dlt, echo
from terminal import Terminal

from dlthub_project.dlt_internals import contexts

DltProgram = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dlt_main(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> DltProgram:
    """Call `dlt` in the working directory, as in a pipe: `dlt_main("project", "info")`.

    It is the program's main function, in this process; `answers` are the lines that somebody types
    at a terminal.
    """

    def call(
        *arguments: str, answers: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch, open(os.devnull, encoding="utf-8") as nothing:
            # what the program sets is gone with its process
            before = dict(os.environ)
            for name, value in {"NO_COLOR": "1", "COLUMNS": "200", **environment}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["dlt", *arguments])
            patch.setattr(sys, "path", list(sys.path))
            patch.setattr(sys, "stdin", nothing if answers is None else Terminal(answers))
            for name in ("ALWAYS_CHOOSE_DEFAULT", "ALWAYS_CHOOSE_VALUE", "ALWAYS_CONFIRM"):
                patch.setattr(echo, name, getattr(echo, name))
            suspended = contexts.suspend_contexts()
            capfd.readouterr()
            try:
                _dlt._main()
            except SystemExit as exit_:
                status = exit_.code
                if isinstance(status, str):
                    print(status, file=sys.stderr)
                    status = 1
            finally:
                _debug.disable_debug()
                contexts.resume_contexts(suspended)
                os.environ.clear()
                os.environ.update(before)
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(["dlt", *arguments], (status or 0) & 0xFF, out, err)

    return call
