"""Keeps what checks and metrics have found: tables beside the dataset that was looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timezone
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.json import json

from dlthub_project.data_quality.check_kinds import literal
from dlthub_project.data_quality.check_results import CheckResult
from dlthub_project.data_quality.metric_kinds import MetricResult
from dlthub_project.dlt_internals import configuration, contexts, datasets, relations
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import DatasetNotLoaded
from dlthub_project.sandbox import unobserved_here
from dlthub_project.secrets import MASK, Redactor, is_secret_name

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltResource

_SCHEMA = "data_quality"
_CHECKS, _METRICS = "checks", "metrics"
# the columns, and their types
_OF_CHECKS = {
    **dict.fromkeys(("load_id", "table_name", "check_name", "severity", "status"), "text"),
    **dict.fromkeys(("row_count", "failing_count"), "bigint"),
    **dict.fromkeys(("sample_keys", "error", "pipeline_name"), "text"),
    "checked_at": "timestamp",
}
_OF_METRICS = {
    **dict.fromkeys(("load_id", "table_name", "column_name", "metric_name"), "text"),
    "value": "double",
    **dict.fromkeys(("value_text", "error", "pipeline_name"), "text"),
    "measured_at": "timestamp",
}


def results_dataset_name(dataset_name: str) -> str:
    """Return the name of the dataset that holds the results of the checks of a dataset."""
    return f"{dataset_name}_{_SCHEMA}"


def store_results(
    pipeline: dlt.Pipeline,
    load_info: LoadInfo,
    results: Sequence[CheckResult],
    metrics: Sequence[MetricResult] = (),
) -> None:
    """Store what the checks and metrics of a load have found, where the pipeline loads to.

    They are rows of two tables in the dataset `<dataset>_data_quality`, beside those of earlier
    loads. Of `checks`: `load_id`, `table_name`, `check_name`, `severity`, `status`, `row_count`,
    `failing_count`, `sample_keys` (JSON), `error`, `pipeline_name`, `checked_at`. Of `metrics`:
    `load_id`, `table_name` (null for the dataset), `column_name`, `metric_name`, `value` (where it
    is a number), `value_text`, `error`, `pipeline_name`, `measured_at`.

    Secrets in keys, values and errors are masked.

    Args:
        pipeline: The pipeline that has loaded.
        load_info: What it returned; nothing is stored if it has loaded nothing.
        results: See `check_load`.
        metrics: See `measure_load`.

    Raises:
        PipelineStepFailed: The destination does not take them.
    """
    loads = loads_of_tables(pipeline, load_info)
    if not loads or not (results or metrics):
        return
    redactor = _redactor(pipeline)
    name, last, now = pipeline.pipeline_name, load_info.loads_ids[-1], datetime.now(timezone.utc)
    of_checks = [
        {
            "load_id": loads.get(result.table, last),
            "table_name": result.table,
            "check_name": result.check,
            "severity": result.severity,
            "status": result.status,
            "row_count": None if result.error else result.rows,
            "failing_count": None if result.error else result.failing,
            "sample_keys": _as_json(result.keys, redactor),
            "error": redactor.masked(result.error or result.unchecked) or None,
            "pipeline_name": name,
            "checked_at": now,
        }
        for result in results
    ]
    of_metrics = [
        {
            "load_id": loads.get(metric.table or "", last),
            "table_name": metric.table,
            "column_name": metric.column,
            "metric_name": metric.metric,
            **_value(metric, redactor),
            "error": redactor.masked(metric.error) or None,
            "pipeline_name": name,
            "measured_at": now,
        }
        for metric in metrics
    ]
    found = ((_CHECKS, of_checks, _OF_CHECKS), (_METRICS, of_metrics, _OF_METRICS))
    _store(pipeline, *(_resource(*one) for one in found if one[1]))


def read_check(
    dataset: dlt.Dataset, table: str | None = None, check: str | None = None
) -> dlt.Relation:
    """Return the stored results of checks of a dataset, of all loads; see `store_results`.

    Args:
        dataset: The dataset that was looked at.
        table: Those of one table only.
        check: Those of one check only.

    Raises:
        DatasetNotLoaded: None are stored.
    """
    return _read(dataset, _CHECKS, table_name=table, check_name=check)


def read_metric(
    dataset: dlt.Dataset,
    table: str | None = None,
    column: str | None = None,
    metric: str | None = None,
) -> dlt.Relation:
    """Return the stored metrics of a dataset, of all loads; see `store_results`.

    Args:
        dataset: The dataset that was measured.
        table: Those of one table only.
        column: Those of one column only.
        metric: Those of one name only, such as `mean` or `quantile_0.9`.

    Raises:
        DatasetNotLoaded: None are stored.
    """
    return _read(dataset, _METRICS, table_name=table, column_name=column, metric_name=metric)


def loads_of_tables(pipeline: dlt.Pipeline, load_info: LoadInfo | None) -> dict[str, str]:
    """Return the load of each table of the schemas that were loaded; empty if nothing was."""
    found: dict[str, str] = {}
    for package in load_info.load_packages if load_info and load_info.loads_ids else ():
        schema = pipeline.schemas.get(package.schema_name)
        found.update(dict.fromkeys(schema.tables if schema else (), package.load_id))
    return found


def stored_row_counts(
    dataset: dlt.Dataset, checks: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], int]:
    """Return the row counts that the last load before a given one has stored.

    Args:
        dataset: The dataset that was looked at.
        checks: The table and the name of each check, and the given load.
    """
    try:
        relation = _read(dataset, _CHECKS)
    except DatasetNotLoaded:
        return {}
    wanted = " OR ".join(
        f"({quoted('table_name')} = {literal(table)} AND {quoted('check_name')} = {literal(check)} "
        f"AND {quoted('load_id')} < {literal(before)})"
        for (table, check), before in checks.items()
    )
    names = ", ".join(map(quoted, ("table_name", "check_name", "row_count", "load_id")))
    rows = relations.answer(
        relation,
        f"SELECT {names} FROM checked WHERE {quoted('row_count')} IS NOT NULL AND ({wanted}) "
        f"ORDER BY {quoted('load_id')}, {quoted('checked_at')}",
    )
    # of several counts of one check, the last one stays
    return {(table, check): int(count) for table, check, count, _ in rows}


def _resource(name: str, rows: list[Any], types: Mapping[str, str]) -> DltResource:
    # the table has all columns from the first load on, whatever that has found
    columns: Any = {column: {"data_type": data_type} for column, data_type in types.items()}
    made: DltResource = dlt.resource(rows, name=name, columns=columns)
    return made


def _store(pipeline: dlt.Pipeline, *resources: DltResource) -> None:
    destination = pipeline.destination
    # all files of a table must have one format, whatever is configured at the time
    in_files = str(destination.destination_type).endswith(".filesystem")
    arguments: dict[str, Any] = {"loader_file_format": "jsonl"} if in_files else {}
    # nobody needs what is pending after a failure
    with (
        tempfile.TemporaryDirectory() as folder,
        unobserved_here(),
        contexts.no_active_pipeline(),
    ):
        store: dlt.Pipeline = dlt.pipeline(
            pipeline_name=f"_{_SCHEMA}_{pipeline.pipeline_name}",
            pipelines_dir=folder,
            destination=destination,
            staging=pipeline.staging,
            dataset_name=results_dataset_name(pipeline.dataset_name),
            dev_mode=False,
        )
        store.run(list(resources), schema=dlt.Schema(_SCHEMA), **arguments)


def _read(dataset: dlt.Dataset, table: str, **wanted: str | None) -> dlt.Relation:
    name = results_dataset_name(dataset.dataset_name)
    stored = dlt.dataset(datasets.destination_of(dataset), name)
    normalize = stored.schema.naming.normalize_identifier
    if normalize(table) not in stored.tables:
        raise DatasetNotLoaded(
            f"No {table} of dataset `{dataset.dataset_name}` are stored: there is no table "
            f"`{table}` in `{name}`.",
            "Store them after each load: data_quality.enable_data_quality(pipeline).",
        )
    relation = stored.table(normalize(table))
    for column, value in wanted.items():
        if value is not None:
            relation = relation.where(normalize(column), "eq", value)
    return relation


def _redactor(pipeline: dlt.Pipeline) -> Redactor:
    configuration.register_secrets()
    redactor = Redactor()
    redactor.learn_environment()
    for destination in (pipeline.destination, pipeline.staging):
        if destination is not None:
            # values that code has given to the destination
            redactor.learn(destination.config_params, is_secret=False)
    return redactor


def _value(metric: MetricResult, redactor: Redactor) -> dict[str, Any]:
    value = metric.value
    if value is not None and metric.is_value and is_secret_name([metric.column or ""]):
        return {"value": None, "value_text": MASK}
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    text = value.isoformat() if isinstance(value, date | time) else value
    return {
        "value": float(value) if is_number and isfinite(value) else None,
        "value_text": None if value is None else redactor.redacted(str(text)),
    }


def _as_json(keys: Sequence[Mapping[str, Any]], redactor: Redactor) -> str | None:
    rows = [
        {
            name: MASK if is_secret_name([name]) else redactor.redacted(value)
            for name, value in row.items()
        }
        for row in keys
    ]
    return json.dumps(rows) if rows else None
