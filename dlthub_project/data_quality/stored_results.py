"""Keeps what checks have found: tables of a dataset beside the one that was looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.json import json

from dlthub_project.data_quality.check_kinds import literal
from dlthub_project.data_quality.check_results import CheckResult
from dlthub_project.dlt_internals import configuration, contexts, datasets, relations
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import DatasetNotLoaded
from dlthub_project.sandbox import unobserved
from dlthub_project.secrets import MASK, Redactor, is_secret_name

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo

_SCHEMA = "data_quality"
_CHECKS = "checks"
_COLUMNS: dict[str, Any] = {
    "load_id": {"data_type": "text", "nullable": False},
    "table_name": {"data_type": "text", "nullable": False},
    "pipeline_name": {"data_type": "text", "nullable": False},
    "checked_at": {"data_type": "timestamp", "nullable": False},
    "error": {"data_type": "text"},
}
_OF_CHECKS: dict[str, Any] = {
    **_COLUMNS,
    "check_name": {"data_type": "text", "nullable": False},
    "severity": {"data_type": "text", "nullable": False},
    "status": {"data_type": "text", "nullable": False},
    "row_count": {"data_type": "bigint"},
    "failing_count": {"data_type": "bigint"},
    "sample_keys": {"data_type": "text"},
}


def results_dataset_name(dataset_name: str) -> str:
    """Return the name of the dataset that has the results of checks of another."""
    return f"{dataset_name}_{_SCHEMA}"


def store_results(
    pipeline: dlt.Pipeline, load_info: LoadInfo, results: Sequence[CheckResult]
) -> None:
    """Store what the checks of a load have found, where the pipeline loads to.

    They are rows of the table `checks` in the dataset `<dataset>_data_quality`, beside those of
    earlier loads: `load_id`, `table_name`, `check_name`, `severity`, `status`, `row_count`,
    `failing_count`, `sample_keys` (JSON), `error`, `pipeline_name`, `checked_at`.

    Secrets in keys and errors are masked.

    Args:
        pipeline: The pipeline that has loaded.
        load_info: What it returned; nothing is stored if it has loaded nothing.
        results: See `check_load`.

    Raises:
        PipelineStepFailed: The destination does not take them.
    """
    loads = loads_of_tables(pipeline, load_info)
    if not loads or not results:
        return
    redactor = _redactor(pipeline)
    beside = {"pipeline_name": pipeline.pipeline_name, "checked_at": datetime.now(timezone.utc)}
    rows = [
        {
            "load_id": loads.get(result.table, load_info.loads_ids[-1]),
            "table_name": result.table,
            "check_name": result.check,
            "severity": result.severity,
            "status": result.status,
            "row_count": None if result.error else result.rows,
            "failing_count": None if result.error else result.failing,
            "sample_keys": _as_json(result.keys, redactor),
            "error": redactor.masked(result.error or result.unchecked) or None,
            **beside,
        }
        for result in results
    ]
    _store(pipeline, dlt.resource(rows, name=_CHECKS, columns=_OF_CHECKS))


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
    """Return the row counts that were stored by the last load before another.

    Args:
        dataset: The dataset that was looked at.
        checks: Tables and names of checks, and the load before which it was.
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
    # the last one stays
    return {(table, check): int(count) for table, check, count, _ in rows}


def _store(pipeline: dlt.Pipeline, *resources: Any) -> None:
    destination = pipeline.destination
    # a file system must have one format in a table, whatever is configured at the time
    in_files = str(destination.destination_type).endswith(".filesystem")
    arguments: dict[str, Any] = {"loader_file_format": "jsonl"} if in_files else {}
    # what is pending after a failure is of no use to anybody
    with (
        tempfile.TemporaryDirectory() as folder,
        unobserved(),
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


def _as_json(keys: Sequence[Mapping[str, Any]], redactor: Redactor) -> str | None:
    rows = [
        {
            name: MASK if is_secret_name([name]) else redactor.redacted(value)
            for name, value in row.items()
        }
        for row in keys
    ]
    return json.dumps(rows) if rows else None
