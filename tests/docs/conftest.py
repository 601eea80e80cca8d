"""Who reads the pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import Reader
from sessions import run_program_here


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Somebody who has just installed the package."""
    return Reader(tmp_path, run_program_here)
