"""Checks of loaded data: one definition for tests and for production."""

from dlthub_project.data_quality import checks
from dlthub_project.data_quality.attached_checks import attached_checks, with_checks
from dlthub_project.data_quality.check_kinds import Check
from dlthub_project.data_quality.check_suite import (
    CheckResult,
    CheckResults,
    CheckSuite,
    prepare_checks,
)
from dlthub_project.data_quality.loaded_checks import check_loaded, check_run, checks_of

__all__ = [
    "Check",
    "CheckResult",
    "CheckResults",
    "CheckSuite",
    "attached_checks",
    "check_loaded",
    "check_run",
    "checks",
    "checks_of",
    "prepare_checks",
    "with_checks",
]
