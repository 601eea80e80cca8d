"""Whether a pipeline survives a crash: broken at each point that matters, and started again."""

from __future__ import annotations

from pytest_dlthub.crashes.matrix import Matrix
from pytest_dlthub.crashes.once_more import (
    SAME,
    is_project_runner,
    once_more,
    rows_given,
)
from pytest_dlthub.crashes.telling import Crash, Crashes

__all__ = [
    "SAME",
    "Crash",
    "Crashes",
    "Matrix",
    "is_project_runner",
    "once_more",
    "rows_given",
]
