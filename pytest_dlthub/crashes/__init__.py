"""Tests whether a pipeline survives a crash: breaks it at each point, and runs it again."""

from __future__ import annotations

from pytest_dlthub.crashes.arguments import (
    SAME,
    is_project_runner,
    once_more,
    rows_given,
)
from pytest_dlthub.crashes.crash_report import Crash, Crashes
from pytest_dlthub.crashes.matrix import Matrix

__all__ = [
    "SAME",
    "Crash",
    "Crashes",
    "Matrix",
    "is_project_runner",
    "once_more",
    "rows_given",
]
