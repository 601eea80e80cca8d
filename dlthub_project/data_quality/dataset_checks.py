"""The checks and metrics of a dataset, whoever has declared them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from dlthub_project.data_quality.attached_checks import attached_checks
from dlthub_project.data_quality.attached_metrics import attached_metrics
from dlthub_project.data_quality.check_kinds import Check
from dlthub_project.data_quality.metric_kinds import Metric
from dlthub_project.data_quality.project_checks import checks_in_project, metrics_in_project

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
