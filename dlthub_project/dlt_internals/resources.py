"""dlt's sources and resources: their parts, and how to replace their rows."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.configuration import inject_section
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.base_configuration import (
    is_secret_hint,
)
from dlt.common.pipeline import StateInjectableContext
from dlt.extract import DltResource, DltSource
from dlt.extract.decorators import DltSourceFactoryWrapper, _maybe_load_schema_for_callable
from dlt.extract.exceptions import DataItemRequiredForDynamicTableHints
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.pipe_iterator import PipeIterator
from dlt.extract.reference import SourceReference
from dlt.extract.source import (
    SourceInjectableContext,
    SourceSchemaInjectableContext,
    _DltSingleSource,
)

from dlthub_project.dlt_internals.configuration import cast_value

if TYPE_CHECKING:
    from dlt.extract.reference import AnySourceFactory


def steps_of(resource: DltResource) -> list[Any]:
    """Return the functions, data and item transforms of a resource, those of its parents first."""
    return [step for pipe in reversed(_with_parents(resource)) for step in pipe.steps]


def explicit_arguments(resource: DltResource) -> dict[str, Any]:
    """Return the arguments that code called a resource with."""
    if resource._explicit_args or not resource._args_bound:
        return dict(resource._explicit_args or {})
    # dlt forgets the arguments of a renamed resource; the function that it made of them has them
    function = resource._pipe.gen
    enclosed = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
    if not enclosed.keys() >= {"f", "args", "kwargs"}:
        return {}
    item = [None] if resource._pipe.has_parent else []
    signature = inspect.signature(enclosed["f"])
    bound = signature.bind_partial(*item, *enclosed["args"], **enclosed["kwargs"]).arguments
    return {name: value for i, (name, value) in enumerate(bound.items()) if i >= len(item)}


def hints_of(resource: DltResource) -> dict[str, Any]:
    """Return the hints of a resource as code has set them; some may be functions."""
    return dict(resource._hints or {})


_OF_HINTS = ("_hints", "_hints_variants", "_table_name_hint_fun", "_table_has_other_dynamic_hints")
_OF_CURSORS = ("_primary_key", "_dedup_key_from_hints")


def variants_of(resource: DltResource) -> dict[str, Any]:
    """Return the hints that came with rows (`dlt.mark`), by table."""
    return dict(resource._hints_variants)


def changing_state(resource: DltResource) -> dict[str, Any]:
    """Return what a run may change in a resource: hints, steps, and keys of cursors."""
    steps = resource._pipe._steps
    cursors = [step for step in steps if isinstance(step, Incremental | IncrementalResourceWrapper)]
    return {
        **{name: _copied(vars(resource).get(name)) for name in _OF_HINTS},
        "steps": tuple(steps),
        "cursors": {id(cursor): {"cursor": cursor, "keys": _keys_of(cursor)} for cursor in cursors},
    }


def set_changing_state(resource: DltResource, state: Mapping[str, Any]) -> None:
    """Give a resource such a state again."""
    vars(resource).update({name: _copied(state[name]) for name in _OF_HINTS})
    resource._pipe._steps[:] = state["steps"]
    for one in state["cursors"].values():
        vars(one["cursor"]).update(one["keys"])


def _keys_of(cursor: Any) -> dict[str, Any]:
    return {name: vars(cursor)[name] for name in _OF_CURSORS if name in vars(cursor)}


def _copied(value: Any) -> Any:
    """Copy the mappings and lists of a value, at any depth, and no other object."""
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [*map(_copied, value)] if type(value) is list else value


def copy_extractables(
    data: Sequence[DltSource | DltResource],
) -> list[DltSource | DltResource]:
    """Return copies of sources and resources, with copies of their resources and parents.

    Resources that share a parent share the copy of it.
    """
    copies: dict[str, DltResource] = {}
    return [
        _copy_source(item) if isinstance(item, DltSource) else _copy_resource(item, copies)
        for item in data
    ]


def resources_of(data: Sequence[DltSource | DltResource]) -> list[DltResource]:
    """Return all resources of `data`, and the parents from which they get their data."""
    resources: dict[str, DltResource] = {}
    for item in data:
        of_item = item.resources.values() if isinstance(item, DltSource) else [item]
        resources |= {resource._pipe.instance_id: resource for resource in of_item}
    for resource in list(resources.values()):
        parent = resource._parent
        while parent is not None and not parent._pipe.is_empty:
            resources.setdefault(parent._pipe.instance_id, parent)
            parent = parent._parent
    return list(resources.values())


def iterators_of(data: DltSource | DltResource) -> list[Any]:
    """Return the iterators that resources, and their parents, can read only once."""
    parts = (resource._pipe.gen for resource in resources_of([data]) if not resource._pipe.is_empty)
    return [part for part in parts if isinstance(part, Iterator | AsyncIterator)]


def extract_items(
    data: DltSource | DltResource, state: MutableMapping[str, Any]
) -> dict[str, list[Any]]:
    """Return by name what the selected resources of a source yield, as a pipeline has it.

    Args:
        data: The source, or one resource.
        state: The state of the pipeline; it is changed.
    """
    section = data._get_config_section_context()
    if isinstance(data, DltResource):
        schema = dlt.Schema(section.source_state_key)
        data = _DltSingleSource(schema, data.section, [data])
    found: dict[str, list[Any]] = {name: [] for name in data.resources.selected}
    contexts = (
        StateInjectableContext(state=state),  # type: ignore[arg-type]  # dlt fills it
        SourceInjectableContext(data),
        SourceSchemaInjectableContext(data.schema),
    )
    with ExitStack() as stack:
        stack.enter_context(inject_section(section))
        for context in contexts:
            stack.enter_context(Container().injectable_context(context))
        pipes: Any = PipeIterator.from_pipes(data.resources.selected_pipes)
        stack.callback(pipes.close)
        for item in pipes:
            name = str(data.resources.with_pipe(item.pipe).name)
            found[name] += item.item if isinstance(item.item, list) else [item.item]
    return found


def has_parent(resource: DltResource) -> bool:
    """Tell whether a resource gets its data from another one."""
    return resource._pipe.parent is not None


def has_as_parent(resource: DltResource, parent: DltResource) -> bool:
    """Tell whether a transformer gets its data from `parent` itself."""
    return resource._pipe.parent is parent._pipe


def descends_from(resource: DltResource, ancestor: DltResource) -> bool:
    """Tell whether a transformer gets its data from `ancestor`, directly or not."""
    return any(pipe is ancestor._pipe for pipe in _with_parents(resource)[1:])


_GIVES_HINTS = frozenset(("make_hints", "sql_database", "sql_table", "with_hints"))


def gives_own_hints(resource: DltResource, unknown_driver: str) -> bool:
    """Tell whether the function of a resource would give hints of its own if it ran.

    Args:
        resource: Any resource; those of dlt's `sql_table` reflect their table, and functions may
            mark what they yield.
        unknown_driver: The dialect of SQLAlchemy that stands for a database that is not there.
    """
    if not _is_sql_table(resource):
        code = getattr(function_of(resource), "__code__", None)
        return not _GIVES_HINTS.isdisjoint(_names_in(code))
    explicit = explicit_arguments(resource)
    driver = getattr(getattr(explicit.get("engine"), "dialect", None), "name", None)
    return driver == unknown_driver or isinstance(explicit.get("table"), str)


def _names_in(code: Any) -> Iterator[str]:
    yield from getattr(code, "co_names", ())
    for constant in getattr(code, "co_consts", ()):
        if inspect.iscode(constant):
            yield from _names_in(constant)


def merges_without_key(resource: DltResource) -> bool:
    """Tell whether a resource merges although none of its hints says by which key."""
    try:
        hints = resource.compute_table_schema()
    except DataItemRequiredForDynamicTableHints:
        return False
    has_key = any(
        column.get("primary_key") or column.get("merge_key")
        for column in hints.get("columns", {}).values()
    )
    strategy = hints.get("x-merge-strategy")
    return hints.get("write_disposition") == "merge" and not has_key and strategy != "scd2"


def _is_sql_table(resource: DltResource) -> bool:
    module = str(getattr(function_of(resource), "__module__", ""))
    return module.startswith("dlt.sources.sql_database")


def function_of(resource: DltResource) -> Any:
    """Return the function that extracts, as its author wrote it; None if there is none."""
    gen = resource._pipe.gen
    return inspect.unwrap(gen) if callable(gen) else None


def replace_extraction(resource: DltResource, extract: Callable[[], Iterator[Any]]) -> None:
    """Make a resource yield other items than those of its function.

    The resource keeps its hints, maps, filters, limits and incremental, even an incremental that
    its function takes as an argument. A transformer loses its parent.

    Args:
        resource: The resource; it is changed in place.
        extract: A generator function without parameters.
    """
    pipe = resource._pipe
    explicit = explicit_arguments(resource)
    # most resources have no parent, though dlt's types say that all have one
    pipe.parent = None  # type: ignore[assignment]
    resource._parent = None  # type: ignore[assignment]
    function = function_of(resource)
    cursor = incremental_parameter(function) if function else None
    if cursor is None:
        pipe.replace_gen(extract)  # type: ignore[arg-type]  # dlt has no type for it
        # the function does not run, so dlt need not look up its arguments
        resource._args_bound = True
        return

    def extract_from_cursor(**_: Any) -> Iterator[Any]:
        yield from extract()

    # dlt binds the incremental to the parameter that it finds in the signature
    default = None if cursor.default is inspect.Parameter.empty else cursor.default
    parameter = cursor.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=default)
    extract_from_cursor.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]  # for dlt
    pipe.replace_gen(extract_from_cursor)  # type: ignore[arg-type]  # as above
    resource._args_bound = False
    resource._inject_config()
    if cursor.name in explicit:
        resource.bind(**{cursor.name: explicit[cursor.name]})


def see_items(resource: DltResource, see: Callable[[Any, Any], Any]) -> None:
    """Put `see` between the function of a resource and its maps, filters and incremental.

    Args:
        resource: The resource; it is changed in place.
        see: Called with each item that the function yields, a row or a whole page, and what
            `dlt.mark` has set on it. What it returns goes on; None goes nowhere.
    """
    pipe = resource._pipe
    pipe.insert_step(lambda item, meta=None: see(item, meta), pipe._gen_idx + 1)


def reflected_columns(resource: DltResource) -> dict[str, Any]:
    """Return the columns that a resource of dlt's `sql_table` has from its database.

    Empty for any other resource, and while nobody has asked the database.
    """
    if not _is_sql_table(resource):
        return {}
    return dict(resource.compute_table_schema().get("columns", {}))


def _copy_source(source: DltSource) -> DltSource:
    clone = source.clone()
    originals = {resource._pipe.instance_id: resource for resource in resources_of([source])}
    for made in resources_of([clone]):
        # dlt's clone drops them
        made._explicit_args = originals[made._pipe.instance_id]._explicit_args
    return clone


def _copy_resource(resource: DltResource, copies: dict[str, DltResource]) -> DltResource:
    key = resource._pipe.instance_id
    if key not in copies:
        copied = copies[key] = resource._clone()
        copied._explicit_args = resource._explicit_args
        if resource._parent is not None and not resource._parent._pipe.is_empty:
            copied._parent = _copy_resource(resource._parent, copies)
            copied._pipe.parent = copied._parent._pipe
    return copies[key]


def incremental_parameter(function: Callable[..., Any]) -> inspect.Parameter | None:
    """Return the parameter of a function that takes an incremental cursor; None without one."""
    return IncrementalResourceWrapper.get_incremental_arg(inspect.signature(function))


def _with_parents(resource: DltResource) -> list[Any]:
    """Return the pipe of a resource and the pipes of its parents, the nearest first."""
    pipes = [resource._pipe]
    while pipes[-1].parent is not None:
        pipes.append(pipes[-1].parent)
    return pipes


def configured_value(key: str, hint: Any, *sections: str) -> Any:
    """Return a configured value, cast to `hint`, or None. Only `sections` are searched.

    If dlt's configuration does not know the type, the value stays as it is written.

    Raises:
        ConfigValueCannotBeCoercedException: The value cannot be cast.
    """
    return cast_value(key, dlt.config.get(".".join((*sections, key))), hint)


def source_function(factory: AnySourceFactory) -> Callable[..., Any]:
    """Return the function of a source; for a resource that serves as a source, its function.

    dlt wraps such a resource in a function that takes any arguments.
    """
    function: Callable[..., Any] = inspect.unwrap(factory)
    if isinstance(factory, DltSourceFactoryWrapper) and issubclass(
        factory._impl_cls, _DltSingleSource
    ):
        resource = operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
        function = inspect.unwrap(resource._pipe.gen)
    return function


def secret_arguments(reference: str) -> set[str] | None:
    """Return the arguments that the source that `reference` leads to calls secrets.

    Imports its code. None for a source that is not found, or that cannot be imported.
    """
    try:
        fields = SourceReference.find(reference).ref.SPEC.get_resolvable_fields()
    except Exception:
        return None
    return {name for name, hint in fields.items() if is_secret_hint(hint)}


def has_schema_file(factory: AnySourceFactory) -> bool:
    """Tell whether a schema file with the name of a source stands beside its code."""
    found = _maybe_load_schema_for_callable(inspect.unwrap(factory), factory.ref.name)
    return found is not None


def postprocessors_of(factory: AnySourceFactory) -> Any:
    """Return the functions that a factory calls with each source; None if it is not dlt's own."""
    return getattr(factory, "_postprocessors", None)


def table_hint(resource: DltResource, name: str) -> Any:
    """Return an additional hint (`x-...`) that a resource gives its table; None without it."""
    return (hints_of(resource).get("additional_table_hints") or {}).get(name)
