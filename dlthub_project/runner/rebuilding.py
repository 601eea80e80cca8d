"""The data of a run, made again for each attempt that extracts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dlt.extract import DltResource, DltSource

from dlthub_project.dlt_internals import resources
from dlthub_project.errors import SourceUsedUp

MakeData = Callable[[], Any]


def repeatable(data: Any) -> MakeData:
    """Return what gives `data` at the first call, and the same anew at every further one.

    Sources and resources are copied before anything is read from them: an attempt leaves its
    marks in their schemas.

    Raises:
        SourceUsedUp: By the function, called again: the data are, or hold, a generator or another
            iterator.
    """
    items = list(data) if isinstance(data, list | tuple) else [data]
    spares = [_copied(item) for item in items]
    calls = 0

    def make() -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            return data
        if name := next(filter(None, map(_read_only_once, items)), None):
            raise SourceUsedUp(
                f"Step extract is to be tried again, and {name} can be read only once: it is used "
                "up.",
                "Give the function that makes it, a resource made of that function, or a list.",
            )
        made = [_copied(spare) for spare in spares]
        return made if isinstance(data, list | tuple) else made[0]

    return make


def _copied(item: Any) -> Any:
    if isinstance(item, DltSource | DltResource):
        return resources.copy_extractables([item])[0]
    return item


def _read_only_once(item: Any) -> str | None:
    """Return how to call what of `item` can be read only once, or None."""
    if isinstance(item, Iterator | AsyncIterator):
        return f"the {type(item).__name__} that is to be loaded"
    if not isinstance(item, DltSource | DltResource):
        return None
    selected = item.selected_resources if isinstance(item, DltSource) else None
    for resource in resources.resources_of([item]):
        if selected is not None and resource.name not in selected:
            continue
        for step in resources.steps_of(resource):
            if isinstance(step, Iterator | AsyncIterator):
                return f"the {type(step).__name__} of resource `{resource.name}`"
    return None
