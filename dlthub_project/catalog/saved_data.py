"""The data that `save` accepts, in the shape that dlt loads."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from pathlib import PurePath
from typing import Any

import dlt
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.catalog.frames import arrow_pages, fitted, is_frame
from dlthub_project.catalog.loadable_relations import relation_pages
from dlthub_project.errors import ProjectError

_ACCEPTED = (
    "Give a pandas or polars frame, Arrow data, a dict, a list or iterator of dicts, frames or "
    "tables, a generator function without arguments, a dlt resource or source, or a relation, "
    'such as dataset.table("my_table").'
)


def named_data(data: Any, table_name: str | None) -> tuple[str, Any]:
    """Return the name of the table for `data`, and the data in a shape that dlt loads.

    Raises:
        ProjectError: dlt cannot load data of this kind, or nothing names the table: neither
            `table_name` nor the data.
    """
    _check(data)
    if isinstance(data, SourceFactory):
        data = data()
    name = table_name or _own_name(data)
    if name is None:
        raise ProjectError(
            f"save() needs the name of a table: data of type {type(data).__name__} have none.",
            'Give it: dataset.save(data, table_name="my_table").',
        )
    return name, _loadable(data, name)


def _check(data: Any) -> None:
    """Refuse what is no data: a class, a path, an open file, a function that needs arguments."""
    kind = type(data).__name__
    if isinstance(data, type):
        raise ProjectError(f"save() takes no class, such as {data.__name__}.", _ACCEPTED)
    if isinstance(data, SourceFactory | DltResource | DltSource | dlt.Relation) or is_frame(data):
        return
    is_no_rows = isinstance(data, str | bytes | bytearray | PurePath | io.IOBase | dlt.Dataset)
    # a scalar of numpy is no row, though some can be iterated
    is_no_rows = is_no_rows or type(data).__module__.startswith("numpy")
    if isinstance(data, Mapping) and any(map(is_frame, data.values())):
        raise ProjectError("save() takes a dict as one row, and this one holds frames.", _ACCEPTED)
    if is_no_rows or not (callable(data) or _is_async(data) or isinstance(data, Iterable)):
        raise ProjectError(f"save() takes no data of type {kind}.", _ACCEPTED)
    if callable(data):
        _check_arguments(data)


def _check_arguments(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise ProjectError(
            f"save() calls {name} without arguments, and it needs some: {error}.",
            "Bind them: dataset.save(functools.partial(function, argument), ...).",
        ) from None
    except ValueError:
        # Python does not know the arguments of some builtins
        return


def _own_name(data: Any) -> str | None:
    if isinstance(data, DltResource) and isinstance(data.table_name, str):
        return data.table_name
    if isinstance(data, DltResource | DltSource):
        return str(data.name)
    if inspect.isgeneratorfunction(data):
        return str(data.__name__)
    return None


def _loadable(data: Any, name: str) -> Any:
    if isinstance(data, Mapping) and not is_frame(data):
        return [data]
    if isinstance(data, DltResource | DltSource) or _is_rows(data) or _is_async(data):
        return data
    if callable(data):
        return _yields_pages(data, name)
    return fitted(_pages(data), name)


def _yields_pages(function: Callable[..., Any], name: str) -> Callable[..., Iterator[Any]]:
    @functools.wraps(function)
    def pages(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from fitted(_pages(function(*args, **kwargs)), name)

    return pages


def _pages(data: Any, *, within: bool = False) -> Iterator[Any]:
    """Yield `data` in pieces that dlt loads: rows, lists of rows and Arrow tables.

    Args:
        data: The data, or one of their items.
        within: Whether `data` is an item. An item that can be iterated may still be one row, such
            as a named tuple or a pydantic model.
    """
    if isinstance(data, dlt.Relation):
        yield from relation_pages(data, exact=True)
    elif is_frame(data):
        yield from arrow_pages(data)
    elif isinstance(data, Mapping | str | bytes) or _is_rows(data):
        yield data
    elif isinstance(data, list | Iterator) or (isinstance(data, Iterable) and not within):
        for item in data:
            yield from _pages(item, within=True)
    else:
        yield data


def _is_async(data: Any) -> bool:
    # dlt itself awaits these
    return inspect.isasyncgenfunction(data) or isinstance(data, AsyncIterator)


def _is_rows(data: Any) -> bool:
    return isinstance(data, list) and (not data or isinstance(data[0], Mapping))
