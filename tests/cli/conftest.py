"""The `dlt` program, as users call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import python

DltProgram = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dlt_program() -> DltProgram:
    """Call `dlt` in the working directory: `dlt_program("project", "info")`."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("dlt")
        return subprocess.run(
            [*python(), str(program), *arguments],
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return call
