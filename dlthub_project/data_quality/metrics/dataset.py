"""Metrics of a dataset: of all its tables but dlt's own."""

from __future__ import annotations

from dlthub_project.data_quality.metric_kinds import Metric


def total_row_count() -> Metric:
    """Count the rows of all tables, those nested in others included."""
    return Metric("dataset", "total_row_count")


def load_row_count() -> Metric:
    """Count the rows that the load has brought, those nested in others included.

    It cannot be measured if the rows of a table do not tell their load. Rows of Arrow data do so
    only with `normalize.parquet_normalizer.add_dlt_load_id`.
    """
    return Metric("dataset", "load_row_count")


def latest_loaded_at() -> Metric:
    """Tell when the last load has ended, by the clock of the machine that has loaded."""
    return Metric("dataset", "latest_loaded_at")
