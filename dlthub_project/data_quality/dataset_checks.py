"""The checks and metrics of a dataset, whoever has declared them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dlthub_project.context import active_context
from dlthub_project.data_quality import checks, metrics
from dlthub_project.data_quality.attachments import attached_checks, attached_metrics
from dlthub_project.data_quality.check_kinds import Check
from dlthub_project.data_quality.metric_kinds import Metric
from dlthub_project.entities import Datasets
from dlthub_project.errors import ProjectRunContextNotAvailable

if TYPE_CHECKING:
    import dlt

_T = TypeVar("_T")
_Table = TypeVar("_Table", bound="str | None")


def checks_of(
    dataset: dlt.Dataset,
    schemas: Collection[str] | None = None,
    *,
    name: str | None = None,
    is_whole: bool = False,
) -> dict[str, list[Check]]:
    """Return the checks of a dataset by table: those of its resources, and those of `dlt.yml`.

    Args:
        dataset: The dataset.
        schemas: The names of those of its schemas whose tables are meant; None for all.
        name: What the dataset is called in `dlt.yml`; None for its own name.
        is_whole: Whether all of it has been loaded: a table that is declared must be there.

    Raises:
        ManifestError: Its entry uses an environment variable that is not set.
    """
    meant = _meant(dataset, schemas)
    declared = checks_in_project(name or dataset.dataset_name)
    return _with(attached_checks(*meant), declared, _LeftOut(dataset, meant, is_whole))


def metrics_of(
    dataset: dlt.Dataset,
    schemas: Collection[str] | None = None,
    *,
    name: str | None = None,
    is_whole: bool = False,
) -> dict[str | None, list[Metric]]:
    """Return the metrics of a dataset by table, its own by None; see `checks_of`."""
    meant = _meant(dataset, schemas)
    declared = metrics_in_project(name or dataset.dataset_name)
    return _with(attached_metrics(*meant), declared, _LeftOut(dataset, meant, is_whole))


def _meant(dataset: dlt.Dataset, schemas: Collection[str] | None) -> list[dlt.Schema]:
    return [one for one in dataset.schemas if schemas is None or one.name in schemas]


class _LeftOut:
    """Tells which declared tables are left out: those that nothing has loaded."""

    def __init__(self, dataset: dlt.Dataset, meant: Sequence[dlt.Schema], is_whole: bool) -> None:
        self._of_dataset = {table for schema in dataset.schemas for table in schema.tables}
        self._meant = {table for schema in meant for table in schema.tables}
        self._is_whole = is_whole

    def __call__(self, table: str | None) -> bool:
        if table is None or table in self._meant:
            return False
        # tables of other pipelines, or of resources that did not run
        return table in self._of_dataset or not self._is_whole


def _with(
    attached: dict[_Table, list[_T]],
    declared: Mapping[_Table, Sequence[_T]],
    is_left_out: _LeftOut,
) -> dict[_Table, list[_T]]:
    for table, of_table in declared.items():
        if not is_left_out(table):
            add_missing(attached.setdefault(table, []), of_table)
    return attached


def add_missing(there: list[_T], more: Sequence[_T]) -> None:
    """Add what is missing: a check may be declared and also come with the resource."""
    there += [one for one in more if one not in there]


def checks_in_project(dataset_name: str) -> dict[str, list[Check]]:
    """Return the checks that the active project declares of a dataset, by table.

    Empty outside of a project.

    Raises:
        ManifestError: The entry uses an environment variable that is not set.
    """
    found = _declared_datasets()
    tables = found.tables_of(dataset_name) if found is not None else {}
    return {
        name: [_check_of_entry(entry) for entry in entries]
        for name, table in tables.items()
        if (entries := (table or {}).get("checks"))
    }


def metrics_in_project(dataset_name: str) -> dict[str | None, list[Metric]]:
    """Return the metrics that the active project declares, by table; of the dataset by None.

    Raises:
        ManifestError: The entry uses an environment variable that is not set.
    """
    datasets = _declared_datasets()
    if datasets is None:
        return {}
    found: dict[str | None, list[Metric]] = {
        name: [metric for entry in entries for metric in _metrics_of_entry(entry)]
        for name, table in datasets.tables_of(dataset_name).items()
        if (entries := (table or {}).get("metrics"))
    }
    of_dataset = [getattr(metrics.dataset, name)() for name in datasets.metrics_of(dataset_name)]
    return {**found, None: of_dataset} if of_dataset else found


def _declared_datasets() -> Datasets | None:
    try:
        return Datasets(active_context().project)
    except ProjectRunContextNotAvailable:
        return None


def _check_of_entry(entry: Mapping[str, Any]) -> Check:
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


def _metrics_of_entry(entry: str | Mapping[str, Any]) -> list[Metric]:
    if isinstance(entry, str):
        return [getattr(metrics.table, entry)()]
    ((kind, of),) = ((k, v) for k, v in entry.items() if v is not None)
    make = getattr(metrics.column, kind)
    return [make(**of)] if isinstance(of, Mapping) else [make(column) for column in _listed(of)]


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
