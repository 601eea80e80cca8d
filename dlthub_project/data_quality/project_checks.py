"""The checks and metrics that a `dlt.yml` declares of the tables of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dlthub_project.context import active_context
from dlthub_project.data_quality import checks, metrics
from dlthub_project.data_quality.check_kinds import Check
from dlthub_project.data_quality.metric_kinds import Metric
from dlthub_project.entities import Datasets
from dlthub_project.errors import ProjectRunContextNotAvailable


def checks_in_project(dataset_name: str) -> dict[str, list[Check]]:
    """Return the checks that the active project declares of a dataset, by table.

    Empty outside of a project.

    Raises:
        ManifestError: The entry uses an environment variable that is not set.
    """
    found = _datasets()
    tables = found.tables_of(dataset_name) if found is not None else {}
    return {
        name: [_check(entry) for entry in entries]
        for name, table in tables.items()
        if (entries := (table or {}).get("checks"))
    }


def metrics_in_project(dataset_name: str) -> dict[str | None, list[Metric]]:
    """Return the metrics that the active project declares, by table; of the dataset by None.

    Raises:
        ManifestError: The entry uses an environment variable that is not set.
    """
    datasets = _datasets()
    if datasets is None:
        return {}
    found: dict[str | None, list[Metric]] = {
        name: [metric for entry in entries for metric in _metrics(entry)]
        for name, table in datasets.tables_of(dataset_name).items()
        if (entries := (table or {}).get("metrics"))
    }
    of_dataset = [getattr(metrics.dataset, name)() for name in datasets.metrics_of(dataset_name)]
    return {**found, None: of_dataset} if of_dataset else found


def _datasets() -> Datasets | None:
    try:
        return Datasets(active_context().project)
    except ProjectRunContextNotAvailable:
        return None


def _check(entry: Mapping[str, Any]) -> Check:
    ((kind, options),) = ((k, v) for k, v in entry.items() if v is not None)
    if kind == "case" and isinstance(options, str):
        options = {"condition": options}
    elif not isinstance(options, Mapping):
        options = {"columns": options}
    given = {name: value for name, value in options.items() if value is not None}
    if kind == "freshness":
        given["within"] = timedelta(**given["within"])
    columns = _listed(given.pop("columns", ()))
    made: Check = getattr(checks, kind)(*columns, **given)
    return made


def _metrics(entry: str | Mapping[str, Any]) -> list[Metric]:
    if isinstance(entry, str):
        return [getattr(metrics.table, entry)()]
    ((kind, of),) = ((k, v) for k, v in entry.items() if v is not None)
    make = getattr(metrics.column, kind)
    return [make(**of)] if isinstance(of, Mapping) else [make(column) for column in _listed(of)]


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
