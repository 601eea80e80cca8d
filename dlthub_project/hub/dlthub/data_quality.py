"""Found as `dlthub.data_quality`, and so as `dlt.hub.data_quality`."""

from dlthub_project.data_quality import (
    Check,
    CheckResult,
    CheckResults,
    CheckSuite,
    checks,
    prepare_checks,
    with_checks,
)

__all__ = [
    "Check",
    "CheckResult",
    "CheckResults",
    "CheckSuite",
    "checks",
    "prepare_checks",
    "with_checks",
]
