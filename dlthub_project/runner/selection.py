"""A part of what a run is given: some resources, of the sources and resources that there are."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isgeneratorfunction
from types import FunctionType
from typing import Any

from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.errors import EntityNotFound, known_names


def extractables(data: Any, argument: str) -> list[DltSource | DltResource]:
    """Return `data` as a list of sources and resources; factories and functions are called.

    Raises:
        TypeError: They are something else, of which `argument` cannot tell a part.
    """
    found: list[DltSource | DltResource] = []
    for item in data if isinstance(data, list | tuple) else [data]:
        is_function = isinstance(item, SourceFactory | FunctionType)
        made = item() if is_function and not isgeneratorfunction(item) else item
        if not isinstance(made, DltSource | DltResource):
            kind = type(made).__name__
            raise TypeError(f"{argument}= needs dlt sources or resources, not {kind}")
        found.append(made)
    return found


def narrowed(data: Any, resources: Sequence[str] | None, limit: int | None) -> Any:
    """Return the part of `data` that a run is to load: some resources, some pages of each.

    Args:
        data: Whatever `dlt.Pipeline.run` takes.
        resources: The resources to load; None for all that are selected.
        limit: The number of pages that each resource yields at most; None for all.

    Raises:
        EntityNotFound: There is no such resource.
        TypeError: The data are no sources or resources, of which there could be a part.
    """
    if resources is not None:
        data = select_resources(extractables(data, "resources"), resources)
    if limit is not None:
        data = limit_pages(extractables(data, "limit"), limit)
    return data


def select_resources(
    data: Sequence[DltSource | DltResource], names: Sequence[str]
) -> list[DltSource | DltResource]:
    """Return the resources called `names`, each in a copy of its source.

    Raises:
        EntityNotFound: There is no such resource.
        TypeError: A name alone is given.
    """
    if isinstance(names, str):
        raise TypeError(f'resources: a list of names is expected, as ["{names}"]')
    known = {name for item in data for name in _names(item)}
    for name in names:
        if name not in known:
            raise EntityNotFound(f"There is no resource `{name}`. {known_names(name, known)}")
    selected: list[DltSource | DltResource] = []
    for item in data:
        chosen = [name for name in names if name in _names(item)]
        if chosen:
            selected.append(item.with_resources(*chosen) if isinstance(item, DltSource) else item)
    return selected


def limit_pages(
    data: Sequence[DltSource | DltResource], pages: int
) -> list[DltSource | DltResource]:
    """Return copies that yield at most `pages` pages of each resource."""
    limited: list[DltSource | DltResource] = []
    for item in data:
        if isinstance(item, DltSource):
            limited.append(item.with_resources(*item.selected_resources).add_limit(pages))
        else:
            limited.append(item.with_name(str(item.name)).add_limit(pages))
    return limited


def _names(item: DltSource | DltResource) -> list[str]:
    return list(item.resources) if isinstance(item, DltSource) else [str(item.name)]
