"""What to measure of columns, tables and datasets over time; each function makes a metric."""

from dlthub_project.data_quality.metrics import column, dataset, table

__all__ = ["column", "dataset", "table"]
