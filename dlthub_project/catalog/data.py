"""What `save` accepts, in the shape that dlt loads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any

import dlt
import pyarrow
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.errors import ProjectError

_CHUNK_ROWS = 100_000


def named_data(data: Any, table_name: str | None) -> tuple[str, Any]:
    """Return the name of the table that `data` are for, and the data as dlt loads them.

    Raises:
        ProjectError: Neither `table_name` nor the data name a table.
    """
    if isinstance(data, SourceFactory):
        data = data()
    name = table_name or _own_name(data)
    if name is None:
        raise ProjectError(
            f"save() needs the name of a table: data of type {type(data).__name__} name none.",
            'Give it: dataset.save(data, table_name="my_table").',
        )
    return name, _loadable(data)


def _own_name(data: Any) -> str | None:
    if isinstance(data, DltResource) and isinstance(data.table_name, str):
        return data.table_name
    if isinstance(data, DltResource | DltSource):
        return str(data.name)
    if inspect.isgeneratorfunction(data):
        return str(data.__name__)
    return None


def _loadable(data: Any) -> Any:
    if isinstance(data, Mapping):
        return [data]
    if isinstance(data, DltResource | DltSource) or _is_page(data) or _is_async(data):
        return data
    if callable(data):
        return _yields_pages(data)
    return _pages(data)


def _yields_pages(function: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(function)
    def pages(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from _pages(function(*args, **kwargs))

    return pages


def _pages(data: Any, *, within: bool = False) -> Iterator[Any]:
    """Yield `data` in pieces that dlt loads: rows, lists of rows, frames and Arrow tables.

    Args:
        data: Anything, or one item of it.
        within: It is an item: a row may be iterable, such as a named tuple or a pydantic model.
    """
    if isinstance(data, dlt.Relation):
        yield from data.iter_arrow(chunk_size=_CHUNK_ROWS)
    elif _is_page(data) or isinstance(data, str | bytes):
        yield data
    elif hasattr(data, "__arrow_c_stream__"):
        yield from pyarrow.RecordBatchReader.from_stream(data)
    elif isinstance(data, list | Iterator) or (isinstance(data, Iterable) and not within):
        for item in data:
            yield from _pages(item, within=True)
    else:
        yield data


def _is_async(data: Any) -> bool:
    # dlt awaits these itself
    return inspect.isasyncgenfunction(data) or isinstance(data, AsyncIterator)


def _is_page(data: Any) -> bool:
    if isinstance(data, list):
        return not data or isinstance(data[0], Mapping)
    # dlt knows frames and tables by these classes; all others are asked for Arrow batches
    module = type(data).__module__.partition(".")[0]
    return isinstance(data, Mapping) or module in ("pandas", "pyarrow")
