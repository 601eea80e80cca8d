"""Metrics of a table."""

from __future__ import annotations

from dlthub_project.data_quality.metric_kinds import Metric


def row_count() -> Metric:
    """Count the rows."""
    return Metric("table", "row_count")


def unique_count() -> Metric:
    """Count the rows that differ, without dlt's own columns."""
    return Metric("table", "unique_count")


def null_row_count() -> Metric:
    """Count the rows in which all columns are null but dlt's own."""
    return Metric("table", "null_row_count")
