"""The seam of a resource: where its function yields, before maps, filters and incremental."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import dlt
from dlt.common.configuration import inject_section
from dlt.common.configuration.inject import get_fun_spec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs.base_configuration import BaseConfiguration, is_secret_hint
from dlt.common.storages.fsspec_filesystem import FileItemDict
from dlt.extract import DltResource
from dlt.extract.hints import HintsMeta
from dlt.extract.incremental import Incremental
from dlt.extract.items import DataItemWithMeta, TableNameMeta
from dlt.extract.items_transform import LimitItem

from dlthub_project.dlt_internals.resources import explicit_arguments, function_of, see_items

if TYPE_CHECKING:
    from types import CodeType

_FILESYSTEM = "dlt.sources.filesystem"
# modules whose transformers ask over the network, or open files there
_CALLING_OUT = (_FILESYSTEM, "dlt.sources.rest_api")


class Mark(NamedTuple):
    """The marks that a function has set on an item with `dlt.mark`.

    Attributes:
        table: The table for the item; None if only hints are set.
        hints: Hints of the resource; None if only a table is set.
        is_variant: Whether the hints count for that table only.
    """

    table: str | None = None
    hints: Mapping[str, Any] | None = None
    is_variant: bool = False


class Written(NamedTuple):
    """The function of a resource as its author wrote it.

    Attributes:
        name: Its name.
        module: The module that defines it.
        code: Its code.
        names: The global names that it sees.
        values: What it closes over; of a generator, its arguments.
    """

    name: str
    module: str
    code: CodeType
    names: Mapping[str, Any]
    values: Mapping[str, Any]


def see_pages(
    resource: DltResource, see: Callable[[Any, Any], Any], pages: int | None = None
) -> None:
    """Put `see` between the function of a resource and all that follows.

    Args:
        resource: The resource; it is changed in place.
        see: Called with each item that the function yields, and what `dlt.mark` has set on it. What
            it returns goes on; None goes nowhere.
        pages: How many it is called with at most, where the function can be stopped; None for all.
    """
    see_items(resource, see)
    if pages is not None and resource._pipe.parent is None:
        # dlt's own limit, but in front: behind filters and incremental it would count too little
        resource._pipe.insert_step(LimitItem(pages, None, False), resource._pipe._gen_idx + 1)


def mark_of(meta: Any) -> Mark | None:
    """Return the marks of `dlt.mark` on an item; None for none, or for marks of an unknown kind."""
    if isinstance(meta, TableNameMeta):
        return Mark(table=meta.table_name)
    if isinstance(meta, HintsMeta):
        return Mark(hints=meta.hints, is_variant=meta.create_table_variant)
    return None


def marked(item: Any, mark: Mark) -> Any:
    """Return an item with a mark, as a function would yield it."""
    if mark.hints is None:
        return dlt.mark.with_table_name(item, str(mark.table))
    return dlt.mark.with_hints(item, dict(mark.hints), mark.is_variant)  # type: ignore[arg-type]  # as above


def unmarked(item: Any) -> tuple[Any, Mark | None]:
    """Return an item without its mark, and the mark."""
    if not isinstance(item, DataItemWithMeta):
        return item, None
    return item.data, mark_of(item.meta)


def written(resource: DltResource) -> Written | None:
    """Return the function that a resource extracts with; None for data alone."""
    gen = resource._pipe.gen
    for prefix in ("gi", "ag"):
        frame = getattr(gen, f"{prefix}_frame", None)
        if frame is not None:
            module = str(frame.f_globals.get("__name__"))
            code = getattr(gen, f"{prefix}_code")
            return Written(code.co_name, module, code, frame.f_globals, dict(frame.f_locals))
    function = function_of(resource)
    if not inspect.isfunction(function):
        return None
    values = inspect.getclosurevars(function).nonlocals
    return Written(
        function.__name__, function.__module__, function.__code__, function.__globals__, values
    )


def held_data(resource: DltResource) -> Callable[[], Iterator[Any]] | None:
    """Return the data that code has put into a resource; None for a function.

    Also None for a generator: it asks a source, and can be read only once.
    """
    gen = resource._pipe.gen
    is_held = not callable(gen) and not isinstance(gen, Iterator | AsyncIterator)
    return (lambda: iter(gen)) if is_held and isinstance(gen, Iterable) else None


def arguments_of(resource: DltResource) -> dict[str, Any]:
    """Return what a resource extracts with: arguments, closed-over and configured values, limits.

    Values that dlt calls secrets are left out. A value of the code stands above a configured one.
    """
    function = written(resource)
    if function is None:
        return {}
    spec = get_fun_spec(resource._pipe.gen) if callable(resource._pipe.gen) else None
    fields = spec.get_resolvable_fields() if spec is not None else {}
    secret = {name for name, hint in fields.items() if is_secret_hint(hint)}
    found = _configured(resource, spec) if spec is not None else {}
    found.update(function.values)
    found.update(explicit_arguments(resource))
    for step in resource._pipe.steps:
        if isinstance(step, LimitItem):
            found["add_limit"] = [step.max_items, step.max_time, step.count_rows]
    return {name: _described(value) for name, value in found.items() if name not in secret}


def _described(value: Any) -> Any:
    """Return a description of an argument that is an object of dlt's."""
    if isinstance(value, Incremental):
        # without the position of the cursor, which differs between runs
        names = ("cursor_path", "initial_value", "end_value")
        return {name: getattr(value, name, None) for name in names}
    # for a client of REST APIs, its address
    base_url = getattr(value, "base_url", None)
    return base_url if isinstance(base_url, str) else value


def _configured(resource: DltResource, spec: type[BaseConfiguration]) -> dict[str, Any]:
    """Return the values that dlt would look up for a function."""
    try:
        with inject_section(resource._get_config_section_context()):
            config = resolve_configuration(spec(), accept_partial=True)
    except Exception:
        # if a value cannot be cast, the run itself raises the error
        return {}
    return {name: getattr(config, name, None) for name in spec.get_resolvable_fields()}


def calls_out(resource: DltResource) -> bool:
    """Tell whether a transformer of dlt's own asks or opens the places that it gets.

    Also a transformer of the user that gets files, because it opens them.
    """
    own = written(resource)
    if own is not None and own.module.startswith(_CALLING_OUT):
        return True
    parent = resource._parent
    function = written(parent) if parent is not None and not parent._pipe.is_empty else None
    return function is not None and function.module.startswith(_FILESYSTEM)


def is_file(item: Any) -> bool:
    """Tell whether an item is a file that a transformer may open."""
    return isinstance(item, FileItemDict)
