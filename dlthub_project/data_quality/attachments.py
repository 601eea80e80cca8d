"""The checks and metrics that resources and sources bring with them.

They travel in the schema, as hints of tables.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.data_quality.check_kinds import Check, check_of
from dlthub_project.data_quality.metric_kinds import Metric, metric_of
from dlthub_project.dlt_internals import resources
from dlthub_project.errors import known_names

if TYPE_CHECKING:
    import dlt

if TYPE_CHECKING:
    import dlt

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Kind:
    """A kind of what is attached.

    Attributes:
        function: The name of the decorator.
        noun: The word for one of them: `check` or `metric`.
        made_by: The module whose functions make them, for errors.
        type: Their class; each object of it has `as_dict`.
        hint: The hint of a table that holds them.
    """

    function: str
    noun: str
    made_by: str
    type: type
    hint: str


_CHECKS = _Kind("with_checks", "check", "dq.checks", Check, "x-checks")
_METRICS = _Kind("with_metrics", "metric", "dq.metrics", Metric, "x-metrics")
_METRICS_OF_DATASET = "x-dataset-metrics"

# resource and check; a dict for its order
_declared: dict[tuple[str, Check], None] = {}


def with_checks(*checks: Check | Mapping[str, Sequence[Check]]) -> Callable[[_T], _T]:
    """Make a decorator that gives checks to a resource, a transformer or a source.

    It stands above `@dlt.resource`, `@dlt.transformer` and `@dlt.hub.transformation`, and above or
    below `@dlt.source`, or takes an object: `with_checks(dq.checks.is_unique("id"))(orders)`.

    Args:
        *checks: The checks of a resource; for a source, a mapping from the names of its resources
            to the checks of each.

    Raises:
        TypeError: Something is no check, or the decorated object makes no tables.
        ValueError: A source has no such resource.
    """
    attach: Callable[[_T], _T] = _attaching(_CHECKS, checks)

    def attached_and_noted(target: _T) -> _T:
        made = attach(target)
        for one in checks:
            of_resource = one if isinstance(one, Mapping) else {getattr(target, "name", ""): [one]}
            for name, of in of_resource.items():
                _declared.update(dict.fromkeys((name, check) for check in of))
        return made

    return attached_and_noted


def declared_checks() -> list[tuple[str, Check]]:
    """Return the resources, with their checks, that code of this process has decorated so far."""
    return list(_declared)


def extracted_checks(trace: Any, load_ids: Collection[str]) -> dict[str, list[Check]]:
    """Return the checks of the resources that were extracted into loads, by resource.

    A schema has only the checks of tables, and a resource that has yielded nothing may have no
    table.

    Args:
        trace: The trace of the run; None for none.
        load_ids: The loads.
    """
    step = trace.last_pipeline_step_trace("extract") if trace is not None else None
    loads = step.step_info.metrics if step is not None and step.step_info is not None else {}
    found: dict[str, list[Check]] = {}
    for extracted in (one for load_id in load_ids for one in loads.get(load_id, ())):
        for resource, hints in extracted["hints"].items():
            more = hints.get("additional_table_hints")
            of_table = more if isinstance(more, Mapping) else hints
            if plain := _attached(of_table, _CHECKS.hint):
                found[resource] = [check_of(one) for one in plain]
    return found


def attached_checks(*schemas: dlt.Schema) -> dict[str, list[Check]]:
    """Return the checks that resources have brought into schemas, by table."""
    return {
        name: [check_of(plain) for plain in hints]
        for schema in schemas
        for name, table in schema.tables.items()
        if (hints := _attached(table, _CHECKS.hint))
    }


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
    return _attaching(_METRICS, others, of_dataset, _METRICS_OF_DATASET)


def attached_metrics(*schemas: dlt.Schema) -> dict[str | None, list[Metric]]:
    """Return the metrics that came into schemas, by table; those of the dataset by None."""
    found: dict[str | None, list[Metric]] = {}
    for schema in schemas:
        for name, table in schema.tables.items():
            if hints := _attached(table, _METRICS.hint):
                found[name] = _metrics_of(hints)
            for metric in _metrics_of(_attached(table, _METRICS_OF_DATASET)):
                of_dataset = found.setdefault(None, [])
                if metric not in of_dataset:
                    of_dataset.append(metric)
    return found


def _metrics_of(hints: Sequence[Any]) -> list[Metric]:
    return [metric_of(plain) for plain in hints]


def _attaching(
    kind: _Kind,
    given: Sequence[Any],
    of_whole: Sequence[Any] = (),
    hint_of_whole: str = "",
) -> Callable[[_T], _T]:
    """Make a decorator that attaches to a resource, a transformer, a transformation or a source.

    Args:
        kind: What the decorator attaches.
        given: The checks or metrics of a resource; for a source, mappings from its resources to
            those of each.
        of_whole: Those of a source as a whole: each of its resources carries them.
        hint_of_whole: The hint that holds those of a source as a whole.

    Raises:
        TypeError: Something is of another kind, or the decorated object makes no tables.
        ValueError: A source has no such resource, or none at all.
    """
    of_resource, of_source = _checked(kind, given, is_of_whole=bool(of_whole))
    is_of_source = not of_resource

    def attach_to(there: Mapping[str, Any]) -> None:
        for name, ones in of_source.items():
            if name not in there:
                known = known_names(name, there)
                raise ValueError(f"{kind.function}: the source has no resource `{name}`. {known}")
            _attach(there[name], kind.hint, ones)
        if of_whole and not there:
            raise ValueError(f"{kind.function}: the source has no resources")
        for resource in there.values() if of_whole else ():
            _attach(resource, hint_of_whole, of_whole)

    def attached_to_source(source: Any) -> Any:
        if inspect.isawaitable(source):
            return _awaited(source, attached_to_source)
        attach_to(source.resources)
        return source

    def decorate(target: Any) -> Any:
        if isinstance(target, DltResource) and of_resource:
            _attach(target, kind.hint, of_resource)
            return target
        if isinstance(target, DltSource) and is_of_source:
            return attached_to_source(target)
        if isinstance(target, SourceFactory) and is_of_source:
            target.add_postprocessor(attached_to_source)
            return target
        if inspect.isfunction(target) and is_of_source:
            return _wrapped(target, attach_to)
        what = getattr(target, "__name__", type(target).__name__)
        raise TypeError(
            f"{kind.function}: {what}: {kind.noun}s belong to a resource or transformer, a mapping "
            f"of resources to {kind.noun}s to a source, or to the function below `@dlt.source`"
        )

    return decorate


def _checked(
    kind: _Kind, given: Sequence[Any], *, is_of_whole: bool
) -> tuple[tuple[Any, ...], dict[str, tuple[Any, ...]]]:
    """Return what a decorator attaches to a resource, and to resources of a source by name.

    One of the two is empty.
    """
    noun = kind.noun
    of_source: dict[str, tuple[Any, ...]] = {}
    for one in given:
        if isinstance(one, Mapping):
            of_source.update({name: tuple(of) for name, of in one.items()})
    of_resource = tuple(one for one in given if not isinstance(one, Mapping))
    if bool(of_source or is_of_whole) == bool(of_resource):
        raise TypeError(
            f"{kind.function}: {noun}s are expected, or a mapping of resources to {noun}s"
        )
    for one in (*of_resource, *(one for of in of_source.values() for one in of)):
        if not isinstance(one, kind.type):
            raise TypeError(f"{kind.function}: {one!r} is no {noun}; make one by {kind.made_by}")
    return of_resource, of_source


def _attached(table: Mapping[str, Any], hint: str) -> Sequence[Any]:
    """Return what was attached to a table of a schema under a hint, as plain data."""
    return table.get(hint) or ()


async def _awaited(source: Any, then: Callable[[Any], Any]) -> Any:
    return then(await source)


def _attach(resource: DltResource, hint: str, ones: Sequence[Any]) -> None:
    before = resources.table_hint(resource, hint) or []
    # the same check may be attached twice: to a source and to its resource
    plain = [*before, *(made for one in ones if (made := one.as_dict()) not in before)]
    resource.apply_hints(additional_table_hints={hint: plain})


def _wrapped(function: Any, attach_to: Callable[[Mapping[str, Any]], None]) -> Any:
    def attached_to(given: Any) -> Any:
        if isinstance(given, DltSource):
            attach_to(given.resources)
            return given
        many = list(given) if isinstance(given, Iterator | list | tuple) else [given]
        attach_to({one.name: one for one in many if isinstance(one, DltResource)})
        return many

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def with_them_later(*args: Any, **kwargs: Any) -> Any:
            return attached_to(await function(*args, **kwargs))

        return with_them_later

    @functools.wraps(function)
    def with_them(*args: Any, **kwargs: Any) -> Any:
        return attached_to(function(*args, **kwargs))

    return with_them
