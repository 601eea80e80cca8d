"""Found as `dlthub.data_quality`, and so as `dlt.hub.data_quality`."""

from dlthub_project.data_quality import (
    Check,
    CheckResult,
    CheckResults,
    CheckSuite,
    check_load,
    checks,
    enable_data_quality,
    prepare_checks,
    read_check,
    store_results,
    with_checks,
)

__all__ = [
    "Check",
    "CheckResult",
    "CheckResults",
    "CheckSuite",
    "check_load",
    "checks",
    "enable_data_quality",
    "prepare_checks",
    "read_check",
    "store_results",
    "with_checks",
]
