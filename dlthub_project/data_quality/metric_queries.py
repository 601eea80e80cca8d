"""Measures a dataset: one query a table, and one of the dataset as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlthub_project.data_quality.check_kinds import literal
from dlthub_project.data_quality.metric_kinds import Metric, MetricResult
from dlthub_project.data_quality.table_columns import (
    PersonalColumns,
    require_columns,
    tables_of,
)
from dlthub_project.dlt_internals import relations
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    import dlt


def measured(
    dataset: dlt.Dataset,
    table: str | None,
    metrics: Sequence[Metric],
    load_ids: Sequence[str],
) -> list[MetricResult]:
    """Return the values of metrics at this moment.

    Args:
        dataset: The dataset.
        table: The table; None for metrics of the dataset.
        metrics: Its metrics.
        load_ids: The loads that `load_row_count` counts.

    Raises:
        ProjectError: There is no such table or column, or a metric would show a personal value.
        Exception: The destination's own, where it cannot answer.
    """
    if table is None:
        values = _of_dataset(dataset, metrics, load_ids)
    else:
        values = _of_table(dataset, table, metrics)
    return [
        MetricResult(table, metric.column, metric.name, value, is_value=metric.is_value)
        for metric, value in zip(metrics, values, strict=True)
    ]


def _of_table(dataset: dlt.Dataset, table: str, metrics: Sequence[Metric]) -> Sequence[Any]:
    tables = tables_of(dataset)
    is_personal = PersonalColumns(dataset)
    for metric in metrics:
        what = f"Metric `{metric.name}`"
        if metric.level == "dataset":
            raise ProjectError(f"{what} is a metric of a dataset, and not of table `{table}`.")
        named = [metric.column] if metric.column else []
        require_columns(tables, table, named, what)
        if metric.is_value and is_personal(table, metric.column or ""):
            raise ProjectError(
                f"{what} shows a value of `{table}.{metric.column}`, which is marked as personal.",
                "Measure how many there are, or how long they are.",
            )
    relation = dataset[table]
    hints = relation.columns_schema
    own = {name: hint for name, hint in hints.items() if not name.startswith("_dlt_")}
    parts = [
        f"{metric.of_table(own)} AS {quoted(f'm{number}')}" for number, metric in enumerate(metrics)
    ]
    (values,) = relations.answer(relation, f"SELECT {', '.join(parts)} FROM checked")
    return values


def _of_dataset(
    dataset: dlt.Dataset, metrics: Sequence[Metric], load_ids: Sequence[str]
) -> Sequence[Any]:
    own = [name for name in dataset.tables if not name.startswith("_dlt_")]
    others = {_called(name): dataset[name] for name in own}
    tables = tables_of(dataset)
    expressions = {
        "total_row_count": lambda: _sum(f"SELECT COUNT(*) FROM {quoted(_called(t))}" for t in own),
        "load_row_count": lambda: _sum(
            f"SELECT COUNT(*) FROM {quoted(_called(t))} AS r WHERE "
            f"{_of_loads(tables, t, load_ids, 'r')}"
            for t in own
        ),
        "latest_loaded_at": lambda: _latest(dataset),
    }
    for metric in metrics:
        if metric.level != "dataset":
            raise ProjectError(f"Metric `{metric.name}` is no metric of a dataset; name its table.")
    parts = [
        f"({expressions[metric.kind]()}) AS {quoted(f'm{number}')}"
        for number, metric in enumerate(metrics)
    ]
    query = f"SELECT {', '.join(parts)}"
    (values,) = relations.answer(dataset["_dlt_loads"], query, **others)
    return values


def _sum(counts: Any) -> str:
    return " + ".join(f"({count})" for count in counts) or "0"


def _of_loads(tables: Mapping[str, Any], table: str, load_ids: Sequence[str], alias: str) -> str:
    """Return the condition for rows of some loads; a nested row has the load of its parent."""
    there = tables[table]
    if "_dlt_load_id" in there["columns"]:
        loads = ", ".join(map(literal, load_ids)) or "NULL"
        return f"{alias}.{quoted('_dlt_load_id')} IN ({loads})"
    parent = there.get("parent")
    if not parent:
        raise ProjectError(
            f"The rows of table `{table}` do not tell which load has brought them.",
            "Arrow data have a column for it with "
            "normalize.parquet_normalizer.add_dlt_load_id = true.",
        )
    inner = f"{alias}p"
    return (
        f"{alias}.{quoted('_dlt_parent_id')} IN (SELECT {inner}.{quoted('_dlt_id')} FROM "
        f"{quoted(_called(parent))} AS {inner} WHERE {_of_loads(tables, parent, load_ids, inner)})"
    )


def _latest(dataset: dlt.Dataset) -> str:
    schemas = ", ".join(literal(schema.name) for schema in dataset.schemas)
    return (
        f"SELECT MAX({quoted('inserted_at')}) FROM loads WHERE {quoted('status')} = 0 "
        f"AND {quoted('schema_name')} IN ({schemas})"
    )


def _called(table: str) -> str:
    """Return the name of a table of the dataset in the query."""
    return f"of_{table}"
