"""Engine `python`, and its decorator: `@transformation` makes a resource that reads datasets."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import dlt
from dlt.extract import DltResource
from dlt.extract.exceptions import ResourceExtractionError

from dlthub_project.dlt_internals import contexts, resources
from dlthub_project.errors import EntityReferenceError, ProjectError
from dlthub_project.transformations import queries

if TYPE_CHECKING:
    from dlthub_project.entities import EntryPosition
    from dlthub_project.transformations.cache_database import CacheTables


class PythonEngine:
    """Runs the functions of `transformations/<name>.py`, in their order there."""

    def __init__(self, name: str, project_dir: str, position: EntryPosition) -> None:
        """Import the module.

        Raises:
            EntityReferenceError: There is none.
            ProjectError: It has no such function, or two for one table.
        """
        file = f"{project_dir}/transformations/{name}.py"
        reference = f"transformations.{name}"
        try:
            module = importlib.import_module(reference)
        except ModuleNotFoundError as error:
            if error.name not in ("transformations", reference):
                raise
            raise EntityReferenceError(
                f"{position}: there is no {file}.",
                "Write functions with @dlt.hub.transformation into it, each of which takes the "
                "cache's dlt.Dataset and yields relations, Arrow tables or frames.",
            ) from None
        self._functions: dict[str, DltResource] = {}
        for value in dict.fromkeys(v for v in vars(module).values() if _is_transformation(v)):
            table = value.table_name
            if not isinstance(table, str):
                raise ProjectError(
                    f"{file}: `{value.name}` takes the name of its table from its rows.",
                    "Give it a `table_name` that is a text.",
                )
            if table in self._functions:
                raise ProjectError(
                    f"{file}: `{self._functions[table].name}` and `{value.name}` both make table "
                    f"`{table}`.",
                    "Give one of them another name.",
                )
            self._functions[table] = value
        if not self._functions:
            raise ProjectError(
                f"{position}: {file} has no function with @dlt.hub.transformation.",
                "Decorate those that make a table.",
            )

    def table_names(self) -> list[str]:
        return list(self._functions)

    def make_tables(self, cache: CacheTables) -> None:
        with _connections_of_ibis_ended(cache.dataset):
            for table, function in self._functions.items():
                for item in _items_of(function, cache.dataset):
                    cache.add(table, item)


@contextlib.contextmanager
def _connections_of_ibis_ended(dataset: dlt.Dataset) -> Iterator[None]:
    """End the connections that `dataset.ibis()` opens in a block.

    While one of them lives, DuckDB keeps the cache, and all that is attached to it, open.
    """
    connect, opened = dataset.ibis, []

    def ibis(*args: Any, **kwargs: Any) -> Any:
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    dataset.ibis = ibis  # type: ignore[method-assign]  # of this one object, while the block runs
    try:
        yield
    finally:
        del dataset.ibis
        for backend in opened:
            backend.disconnect()


def _is_transformation(value: Any) -> bool:
    if not isinstance(value, DltResource):
        return False
    function = resources.steps_of(value)[0]
    return callable(function) and bool(dataset_parameters(inspect.unwrap(function)))


def _items_of(resource: DltResource, dataset: dlt.Dataset) -> Iterator[Any]:
    """Yield the items of a transformation. Relations are not read, so that they stay queries."""
    steps = resources.steps_of(resource)
    function = inspect.unwrap(steps[0])
    arguments = dict.fromkeys(dataset_parameters(function), dataset)
    # maps and filters need rows
    needs_rows = len(steps) > 1
    held = dlt.resource(
        _holding(resource.name, function), name=resource.name, section=resource.section
    )
    with contexts.no_active_pipeline():
        try:
            for items in (resource if needs_rows else held)(**arguments):
                yield from (items,) if needs_rows else items
        except ResourceExtractionError as error:
            if isinstance(error.__cause__, ProjectError):
                raise error.__cause__ from None
            raise


def _holding(name: str, function: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(function)
    def held(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for item in queries.call(name, function, *args, **kwargs):
            yield _Held((item,))

    return held


class _Held(tuple[Any]):
    """A tuple that keeps dlt from reading the item in it."""


def transformation(func: Callable[..., Any] | None = None, /, **resource_arguments: Any) -> Any:
    """Make a dlt resource of a function that takes at least one `dlt.Dataset`.

    A relation that the function returns or yields is loaded with the hints of its columns. The
    relation stays SQL if it lives at the destination of the load. Otherwise it is read as Arrow
    tables of 100,000 rows. An expression of ibis and a text with a query over the tables of the
    dataset are relations, too; another text is an error. Other data are loaded as those of any
    resource.

    Args:
        func: The function; left out if the decorator has arguments.
        **resource_arguments: The arguments of `dlt.resource`.

    Raises:
        TypeError: No argument of the function is a `dlt.Dataset`.
    """
    if func is None:
        return functools.partial(transformation, **resource_arguments)
    _check_takes_dataset(func)
    name = resource_arguments.get("name") or func.__name__

    @functools.wraps(func)
    def extract(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from queries.pages(queries.call(name, func, *args, **kwargs), name)

    return dlt.resource(extract, **{**resource_arguments, "name": name})


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
