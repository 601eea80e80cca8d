"""Checks and metrics of loaded data: one definition for tests and for production."""

from dlthub_project.data_quality import checks, metrics
from dlthub_project.data_quality.attachments import (
    attached_checks,
    declared_checks,
    with_checks,
    with_metrics,
)
from dlthub_project.data_quality.check_kinds import Check
from dlthub_project.data_quality.check_results import CheckResult, CheckResults
from dlthub_project.data_quality.check_suite import CheckSuite, prepare_checks
from dlthub_project.data_quality.checked_pipelines import enable_data_quality
from dlthub_project.data_quality.dataset_checks import checks_in_project, checks_of, metrics_of
from dlthub_project.data_quality.loaded_data import (
    check_dataset,
    check_load,
    measure_load,
    without_rows,
)
from dlthub_project.data_quality.metric_kinds import Metric, MetricResult
from dlthub_project.data_quality.stored_results import (
    read_check,
    read_metric,
    store_results,
)

__all__ = [
    "Check",
    "CheckResult",
    "CheckResults",
    "CheckSuite",
    "Metric",
    "MetricResult",
    "attached_checks",
    "check_dataset",
    "check_load",
    "checks",
    "checks_in_project",
    "checks_of",
    "declared_checks",
    "enable_data_quality",
    "measure_load",
    "metrics",
    "metrics_of",
    "prepare_checks",
    "read_check",
    "read_metric",
    "store_results",
    "with_checks",
    "with_metrics",
    "without_rows",
]
