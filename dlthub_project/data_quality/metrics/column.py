"""Metrics of a column; nulls count in `null_count` and `null_rate` alone.

Those that show a value of a row (`maximum`, `minimum`, `median`, `mode`, `quantile`) cannot be
measured of a column that is marked as personal.
"""

from __future__ import annotations

from dlthub_project.data_quality.metric_kinds import Metric


def maximum(column: str) -> Metric:
    """Tell the greatest value."""
    return _made("maximum", column)


def minimum(column: str) -> Metric:
    """Tell the least value."""
    return _made("minimum", column)


def mean(column: str) -> Metric:
    """Tell the mean of the numbers."""
    return _made("mean", column)


def median(column: str) -> Metric:
    """Tell the number in the middle; between two, their mean."""
    return _made("median", column)


def mode(column: str) -> Metric:
    """Tell the most frequent value; of several, the least."""
    return _made("mode", column)


def sum(column: str) -> Metric:
    """Tell the sum of the numbers."""
    return _made("sum", column)


def standard_deviation(column: str) -> Metric:
    """Tell how far numbers are from their mean: of a sample, as pandas' `std` does."""
    return _made("standard_deviation", column)


def quantile(column: str, quantile: float) -> Metric:
    """Tell the number below which a share of the numbers lies, with interpolation.

    Args:
        column: The column.
        quantile: The share, from 0 to 1.

    Raises:
        ValueError: It is no such share.
    """
    if isinstance(quantile, bool) or not 0 <= quantile <= 1:
        raise ValueError(f"quantile: a share from 0 to 1 is expected, not {quantile!r}")
    return _made("quantile", column, float(quantile))


def null_count(column: str) -> Metric:
    """Count the nulls."""
    return _made("null_count", column)


def null_rate(column: str) -> Metric:
    """Tell the share of the rows in which it is null, from 0 to 1; None of no rows."""
    return _made("null_rate", column)


def unique_count(column: str) -> Metric:
    """Count the values that differ."""
    return _made("unique_count", column)


def average_length(column: str) -> Metric:
    """Tell the mean length of the texts, in characters."""
    return _made("average_length", column)


def minimum_length(column: str) -> Metric:
    """Tell the length of the shortest text, in characters."""
    return _made("minimum_length", column)


def maximum_length(column: str) -> Metric:
    """Tell the length of the longest text, in characters."""
    return _made("maximum_length", column)


def _made(kind: str, column: str, argument: float | None = None) -> Metric:
    if not isinstance(column, str):
        raise TypeError(f"{kind}: name the column, not {column!r}")
    return Metric("column", kind, column, argument)
