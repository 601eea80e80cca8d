"""The kinds of metrics: each is SQL that the destination answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import ProjectError

Level = Literal["column", "table", "dataset"]

_OF_COLUMNS = {
    "maximum": "MAX({c})",
    "minimum": "MIN({c})",
    "mean": "AVG({n})",
    "median": "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {n})",
    # of several values that are equally frequent, the least: always the same one
    "mode": (
        "(SELECT g.v FROM (SELECT {c} AS v, COUNT(*) AS n FROM checked WHERE {c} IS NOT NULL "
        "GROUP BY {c}) AS g ORDER BY g.n DESC, g.v LIMIT 1)"
    ),
    "sum": "SUM({c})",
    "standard_deviation": "STDDEV_SAMP({n})",
    "quantile": "PERCENTILE_CONT({argument}) WITHIN GROUP (ORDER BY {n})",
    "null_count": "COUNT(*) - COUNT({c})",
    "null_rate": "CAST(COUNT(*) - COUNT({c}) AS DOUBLE) / NULLIF(COUNT(*), 0)",
    "unique_count": "COUNT(DISTINCT {c})",
    "average_length": "AVG(CAST(LENGTH({c}) AS DOUBLE))",
    "minimum_length": "MIN(LENGTH({c}))",
    "maximum_length": "MAX(LENGTH({c}))",
}
# these show the value of a row, and so may be personal
_VALUES = frozenset(("maximum", "minimum", "median", "mode", "quantile"))
_OF_TABLES = {
    "row_count": "COUNT(*)",
    "unique_count": "(SELECT COUNT(*) FROM (SELECT DISTINCT {all} FROM checked) AS d)",
    "null_row_count": "COUNT(CASE WHEN {null} THEN 1 END)",
}
_EXACT = ("decimal", "wei", "bigint")


@dataclass(frozen=True)
class Metric:
    """A number, or another value, that describes a column, a table or a dataset.

    Attributes:
        level: What it is about: `column`, `table` or `dataset`.
        kind: The name of the function that makes such metrics.
        column: The column; None for those of tables and datasets.
        argument: The share of a `quantile`.
    """

    level: Level
    kind: str
    column: str | None = None
    argument: float | None = None

    @property
    def name(self) -> str:
        """Its name in the stored results: its kind, and the share of a quantile."""
        return self.kind if self.argument is None else f"{self.kind}_{self.argument:.15g}"

    @property
    def is_value(self) -> bool:
        """Whether it shows a value of a row."""
        return self.level == "column" and self.kind in _VALUES

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, for the schema; see `metric_of`."""
        given = {"level": self.level, "kind": self.kind, "column": self.column}
        plain = {**given, "argument": self.argument}
        return {name: value for name, value in plain.items() if value is not None}

    def of_table(self, columns: Mapping[str, Mapping[str, Any]]) -> str:
        """Return it as an expression over the table `checked`.

        Args:
            columns: The table's own columns, with their hints.

        Raises:
            ProjectError: The table has no columns of its own.
        """
        if self.level == "column":
            column = quoted(self.column or "")
            data_type = columns.get(self.column or "", {}).get("data_type")
            # the mean of two decimals may need more places than they have
            number = f"CAST({column} AS DOUBLE)" if data_type in _EXACT else column
            return _OF_COLUMNS[self.kind].format(c=column, n=number, argument=self.argument)
        if not columns and self.kind != "row_count":
            raise ProjectError("the table has no columns of its own")
        names = [quoted(name) for name in columns]
        null = " AND ".join(f"{name} IS NULL" for name in names)
        return _OF_TABLES[self.kind].format(all=", ".join(names), null=null)


def metric_of(plain: Mapping[str, Any]) -> Metric:
    """Return a metric that is plain data; see `Metric.as_dict`."""
    return Metric(**plain)


@dataclass(frozen=True)
class MetricResult:
    """The value of a metric at one time.

    Attributes:
        table: The table; None for a metric of the dataset.
        column: The column; None for one of a table or dataset.
        metric: The name of the metric.
        value: Its value; None if there is none, as the mean of no rows.
        error: Why the destination could not answer; empty if it did.
        is_value: Whether it is a value of a row.
    """

    table: str | None
    column: str | None
    metric: str
    value: Any
    error: str = ""
    is_value: bool = False

    def __str__(self) -> str:
        place = ".".join(filter(None, (self.table, self.column))) or "dataset"
        if self.error:
            return f"{place}: {self.metric} cannot be measured: {self.error}"
        return f"{place}: {self.metric} = {self.value}"
