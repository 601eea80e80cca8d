"""The data of a run: the sources that functions make, and the part of them that is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from inspect import (
    Parameter,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
    signature,
)
from typing import Any

from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.errors import EntityNotFound, known_names


def extractables(data: Any, argument: str) -> list[DltSource | DltResource]:
    """Return `data` as a list of sources and resources; factories and functions are called.

    Args:
        data: The data.
        argument: The argument that needs sources or resources, for the error.

    Raises:
        TypeError: The data are neither sources nor resources, or a function needs arguments.
        Exception: What a function has raised.
    """
    made = sources_made_by(data, may_fail=False)
    found: list[DltSource | DltResource] = []
    for item in made if isinstance(made, list | tuple) else [made]:
        if not isinstance(item, DltSource | DltResource):
            kind = type(item).__name__
            if callable(item) and not isinstance(item, type) and (names := _required(item)):
                raise _needs_arguments(item, names)
            raise TypeError(f"{argument}= needs dlt sources or resources, not {kind}")
        found.append(item)
    return found


def sources_made_by(data: Any, *, may_fail: bool = True) -> Any:
    """Return `data` in which functions that make sources are replaced by these sources.

    dlt would load such a source as a row. Functions that yield or return rows stay: dlt calls them.

    Args:
        data: The data.
        may_fail: Whether a function that fails stays, too.

    Raises:
        TypeError: A source needs arguments.
    """
    if isinstance(data, list | tuple):
        made = [
            sources_made_by(item, may_fail=may_fail) if callable(item) else item for item in data
        ]
        return [one for item in made for one in (_parts_of(item) or [item])]
    if isinstance(data, Mapping) and (parts := _parts_of(data)):
        return parts
    if isinstance(data, SourceFactory):
        if names := _required(data):
            raise _needs_arguments(data, names)
        return data()
    is_made = isinstance(data, DltSource | DltResource | type)
    if is_made or not callable(data) or _yields(data) or not _needs_no_arguments(data):
        return data
    try:
        found = data()
    except Exception:
        if not may_fail:
            raise
        # it may need the state that dlt provides only in the step `extract`, or fail there again
        return data
    if isinstance(found, DltSource | DltResource):
        return found
    if parts := _parts_of(found):
        return parts
    if isinstance(found, Iterator) or not hasattr(data, "__name__"):
        return data
    # the function has read its rows: dlt must not make it read them a second time
    return wraps(data)(lambda: found)


def _parts_of(made: Any) -> list[DltSource | DltResource]:
    """Return the sources and resources of a list, or of a mapping by names; none of other data."""
    parts = made.values() if isinstance(made, Mapping) else made
    is_list = isinstance(made, list | tuple | Mapping)
    if is_list and all(isinstance(part, DltSource | DltResource) for part in parts):
        return [*parts]
    return []


def _yields(function: Any) -> bool:
    kinds = (isgeneratorfunction, isasyncgenfunction, iscoroutinefunction)
    return any(is_kind(function) or is_kind(type(function).__call__) for is_kind in kinds)


def _needs_no_arguments(function: Any) -> bool:
    try:
        signature(function).bind()
    except (TypeError, ValueError):
        # ValueError: builtins do not tell their arguments
        return False
    return True


def _required(function: Any) -> list[str]:
    """Return the arguments that a call of a function requires."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is Parameter.empty and p.kind not in kinds]


def _needs_arguments(function: Any, names: list[str]) -> TypeError:
    name = getattr(function, "__name__", type(function).__name__)
    arguments = ", ".join(f"{each}=..." for each in names)
    return TypeError(
        f"`{name}` is called without arguments, and needs {', '.join(f'`{n}`' for n in names)}. "
        f"Give a function that calls it with them: `lambda: {name}({arguments})`."
    )


def narrowed(data: Any, resources: Sequence[str] | None, limit: int | None) -> Any:
    """Return the part of `data` that a run loads: some resources, and some pages of each.

    Args:
        data: Whatever `dlt.Pipeline.run` takes.
        resources: The resources to load; None for all that are selected.
        limit: The number of pages that each resource yields at most; None for all.

    Raises:
        EntityNotFound: There is no such resource.
        TypeError: The data are neither sources nor resources.
    """
    data = sources_made_by(data)
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
        TypeError: `names` is a text and not a list.
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
