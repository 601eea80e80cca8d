"""Metrics that a resource or a source brings with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dlthub_project.data_quality.attachments import Kind, attached, attaching
from dlthub_project.data_quality.metric_kinds import Metric, metric_of

if TYPE_CHECKING:
    import dlt

_METRICS = Kind("with_metrics", "metric", "dq.metrics", Metric, "x-metrics")
_OF_DATASET = "x-dataset-metrics"
_T = TypeVar("_T")


def with_metrics(*metrics: Metric | Mapping[str, Sequence[Metric]]) -> Callable[[_T], _T]:
    """Make a decorator that gives metrics to a resource, a transformer or a source.

    It stands where `with_checks` may stand.

    Args:
        *metrics: The metrics of a resource: of columns and of its table. For a source, metrics of
            the dataset (`dq.metrics.dataset`), and a mapping from the names of its resources to the
            metrics of each.

    Raises:
        TypeError: Something is no metric, or the decorated object makes no tables.
        ValueError: A source has no such resource.
    """
    of_dataset = [one for one in metrics if isinstance(one, Metric) and one.level == "dataset"]
    others = [one for one in metrics if one not in of_dataset]
    for one in others:
        for metric in [m for of in one.values() for m in of] if isinstance(one, Mapping) else ():
            if isinstance(metric, Metric) and metric.level == "dataset":
                raise TypeError(
                    f"with_metrics: `{metric.name}` is one of the dataset; give it to the source, "
                    "outside of the mapping"
                )
    return attaching(_METRICS, others, of_dataset, _OF_DATASET)


def attached_metrics(*schemas: dlt.Schema) -> dict[str | None, list[Metric]]:
    """Return the metrics that came into schemas, by table; those of the dataset by None."""
    found: dict[str | None, list[Metric]] = {}
    for schema in schemas:
        for name, table in schema.tables.items():
            if hints := attached(table, _METRICS.hint):
                found[name] = _made(hints)
            for metric in _made(attached(table, _OF_DATASET)):
                of_dataset = found.setdefault(None, [])
                if metric not in of_dataset:
                    of_dataset.append(metric)
    return found


def _made(hints: Sequence[Any]) -> list[Metric]:
    return [metric_of(plain) for plain in hints]
