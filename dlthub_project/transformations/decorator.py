"""`@transformation`: makes a dlt resource of a function that reads datasets."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import dlt

from dlthub_project.catalog import relation_pages


def transformation(func: Callable[..., Any] | None = None, /, **resource_arguments: Any) -> Any:
    """Make a dlt resource of a function that takes at least one `dlt.Dataset`.

    A relation that the function returns or yields is loaded with the hints of its columns. The
    relation stays SQL if it lives at the destination of the load. Otherwise it is read as Arrow
    tables of 100,000 rows. Other data are loaded as those of any resource.

    Args:
        func: The function; left out if the decorator has arguments.
        **resource_arguments: The arguments of `dlt.resource`.

    Raises:
        TypeError: No argument of the function is a `dlt.Dataset`.
    """
    if func is None:
        return functools.partial(transformation, **resource_arguments)
    _check_takes_dataset(func)

    @functools.wraps(func)
    def extract(*args: Any, **kwargs: Any) -> Iterator[Any]:
        returned = func(*args, **kwargs)
        for item in returned if inspect.isgenerator(returned) else (returned,):
            yield from relation_pages(item)

    return dlt.resource(extract, **{"name": func.__name__, **resource_arguments})


def _check_takes_dataset(func: Callable[..., Any]) -> None:
    if not dataset_parameters(func):
        raise TypeError(
            f"@transformation: no argument of {func.__qualname__} is annotated as a dlt.Dataset"
        )


def dataset_parameters(func: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that are annotated as a `dlt.Dataset`."""
    annotations = {n: p.annotation for n, p in inspect.signature(func).parameters.items()}
    with contextlib.suppress(NameError, TypeError):
        # annotations that only type checkers can read stay text
        hints = typing.get_type_hints(func)
        annotations = {name: hint for name, hint in hints.items() if name != "return"}
    return [name for name, annotation in annotations.items() if _is_dataset(annotation)]


def _is_dataset(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return re.search(r"\b(Writable)?Dataset\b", annotation) is not None
    if members := typing.get_args(annotation):
        return any(_is_dataset(member) for member in members)
    return isinstance(annotation, type) and issubclass(annotation, dlt.Dataset)
