"""Decides which resources of a run are recorded: those that ask a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isfunction, ismethod
from typing import Any, cast

from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.dlt_internals import resources as dlt_resources
from dlthub_project.dlt_internals import seams
from dlthub_project.recordings.typed_values import to_json

Data = list[DltSource | DltResource]

_OURS = "dlthub_project."


@dataclass
class Recordable:
    """A resource that is recorded: its rows come from elsewhere.

    Attributes:
        name: How a run names it: `resource`, or `source.resource` where two sources have one.
        source: Its source; None for a resource alone.
        resources: The resource; several where a source has one name twice.
        feeds: Whether a transformer runs on what it yields.
    """

    name: str
    source: str | None
    resources: list[DltResource] = field(default_factory=list)
    feeds: bool = False


@dataclass
class Plan:
    """What a run extracts.

    Attributes:
        recorded: What is recorded, by name.
        own: The resources whose data code holds, without asking a source, by name.
    """

    recorded: dict[str, Recordable] = field(default_factory=dict)
    own: dict[str, Callable[[], Iterator[Any]]] = field(default_factory=dict)


def extractables_in(data: Any, pipeline: str, table: str | None) -> Data | None:
    """Return the sources and resources in what a pipeline is to extract.

    Args:
        data: Whatever `dlt.Pipeline.extract` takes. A generator, or a function, becomes a resource.
        pipeline: The name of the pipeline.
        table: The table that the run names.

    Returns:
        None for rows and other data: then no source is asked.
    """
    if isinstance(data, SourceFactory):
        data = data()
    if isinstance(data, DltSource | DltResource):
        data = [data]
    if isinstance(data, list | tuple):
        found = list(data)
        return found if found and all(map(_is_extractable, found)) else None
    is_asked = isinstance(data, Iterator | AsyncIterator) or isfunction(data) or ismethod(data)
    if not is_asked:
        return None
    # as dlt does it; its types have no None, which is its default
    return [DltResource.from_data(data, name=cast("str", table), section=pipeline)]


def _is_extractable(item: Any) -> bool:
    return isinstance(item, DltSource | DltResource)


def plan_of(data: Data, *, transformers: bool) -> Plan | None:
    """Return what is recorded of sources and resources; None for sources of this package.

    Args:
        data: The sources and resources.
        transformers: Whether transformers are recorded, too. Those of dlt that ask over the network
            or open files always are.
    """
    parts = [[item] for item in data if isinstance(item, DltSource)]
    loose = [item for item in data if isinstance(item, DltResource)]
    all_parts: list[tuple[str | None, list[DltResource], list[DltResource]]] = [
        (part[0].name, list(part[0].resources.values()), dlt_resources.resources_of(part))
        for part in parts
    ]
    if loose:
        all_parts.append((None, loose, dlt_resources.resources_of(loose)))
    names = [{str(one.name) for one in found} for _, _, found in all_parts]
    plan = Plan()
    for source, listed, found in all_parts:
        if any(_is_ours(one) for one in found):
            return None
        needed = _needed([one for one in listed if one.selected], found)
        asked = [r for r in needed if _asks(r, transformers=transformers)]
        for resource in asked:
            children = [r for r in needed if dlt_resources.has_as_parent(r, resource)]
            feeds = any(child not in asked for child in children)
            if not feeds and not (resource.selected and resource in listed):
                # all transformers that it feeds are recorded
                continue
            name = str(resource.name)
            is_ambiguous = source is not None and sum(name in one for one in names) > 1
            full = f"{source}.{name}" if is_ambiguous else name
            held = seams.held_data(resource)
            if held is not None:
                plan.own[full] = held
                continue
            one = plan.recorded.setdefault(full, Recordable(full, source))
            one.resources.append(resource)
            one.feeds = one.feeds or feeds
    return plan


def _needed(selected: Sequence[DltResource], found: Sequence[DltResource]) -> list[DltResource]:
    return [
        one
        for one in found
        if one in selected or any(dlt_resources.descends_from(r, one) for r in selected)
    ]


def _asks(resource: DltResource, *, transformers: bool) -> bool:
    return not dlt_resources.has_parent(resource) or transformers or seams.calls_out(resource)


def _is_ours(resource: DltResource) -> bool:
    function = seams.written(resource)
    return function is not None and function.module.startswith(_OURS)


def hints_of(resource: DltResource) -> dict[str, Any]:
    """Return the hints that a resource has from its database, and that a replay cannot ask for."""
    columns: dict[str, Mapping[str, Any]] = {
        name: {key: column[key] for key in HINTS if column.get(key) is not None}
        for name, column in dlt_resources.reflected_columns(resource).items()
        if not name.startswith("_dlt_")
    }
    return {"columns": to_json(columns)} if columns else {}


HINTS = ("data_type", "nullable", "precision", "scale", "timezone", "primary_key", "merge_key")
"""What of the columns of a database tells how rows are loaded."""
