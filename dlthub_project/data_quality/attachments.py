"""What resources and sources bring with them: it travels in the schema, as hints of tables."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project.dlt_internals import resources
from dlthub_project.errors import known_names

_T = TypeVar("_T")


@dataclass(frozen=True)
class Kind:
    """A kind of what is attached.

    Attributes:
        function: The name of the decorator.
        noun: The word for one of them: `check` or `metric`.
        made_by: The module whose functions make them, for errors.
        type: Their class; each object of it has `as_dict`.
        hint: The hint of a table that holds them.
    """

    function: str
    noun: str
    made_by: str
    type: type
    hint: str


def attaching(
    kind: Kind,
    given: Sequence[Any],
    of_whole: Sequence[Any] = (),
    hint_of_whole: str = "",
) -> Callable[[_T], _T]:
    """Make a decorator that attaches to a resource, a transformer, a transformation or a source.

    Args:
        kind: What the decorator attaches.
        given: The checks or metrics of a resource; for a source, mappings from its resources to
            those of each.
        of_whole: Those of a source as a whole: each of its resources carries them.
        hint_of_whole: The hint that holds those of a source as a whole.

    Raises:
        TypeError: Something is of another kind, or the decorated object makes no tables.
        ValueError: A source has no such resource, or none at all.
    """
    noun = kind.noun
    of_source: dict[str, tuple[Any, ...]] = {}
    for one in given:
        if isinstance(one, Mapping):
            of_source.update({name: tuple(of) for name, of in one.items()})
    of_resource = tuple(one for one in given if not isinstance(one, Mapping))
    is_of_source = bool(of_source or of_whole)
    if is_of_source == bool(of_resource):
        raise TypeError(
            f"{kind.function}: {noun}s are expected, or a mapping of resources to {noun}s"
        )
    for one in (*of_resource, *(one for of in of_source.values() for one in of)):
        if not isinstance(one, kind.type):
            raise TypeError(f"{kind.function}: {one!r} is no {noun}; make one by {kind.made_by}")

    def attach_to(there: Mapping[str, Any]) -> None:
        for name, ones in of_source.items():
            if name not in there:
                known = known_names(name, there)
                raise ValueError(f"{kind.function}: the source has no resource `{name}`. {known}")
            _attach(there[name], kind.hint, ones)
        if of_whole and not there:
            raise ValueError(f"{kind.function}: the source has no resources")
        for resource in there.values() if of_whole else ():
            _attach(resource, hint_of_whole, of_whole)

    def attached_to_source(source: Any) -> Any:
        if inspect.isawaitable(source):
            return _awaited(source, attached_to_source)
        attach_to(source.resources)
        return source

    def decorate(target: Any) -> Any:
        if isinstance(target, DltResource) and of_resource:
            _attach(target, kind.hint, of_resource)
            return target
        if isinstance(target, DltSource) and is_of_source:
            return attached_to_source(target)
        if isinstance(target, SourceFactory) and is_of_source:
            if hasattr(target, "add_postprocessor"):
                target.add_postprocessor(attached_to_source)
                return target
            # dlt before 1.30
            raise TypeError(f"{kind.function}: with this dlt, it stands below `@dlt.source`")
        if inspect.isfunction(target) and is_of_source:
            return _wrapped(target, attach_to)
        what = getattr(target, "__name__", type(target).__name__)
        raise TypeError(
            f"{kind.function}: {what}: {noun}s belong to a resource or transformer, a mapping of "
            f"resources to {noun}s to a source, or to the function below `@dlt.source`"
        )

    return decorate


def attached(table: Mapping[str, Any], hint: str) -> Sequence[Any]:
    """Return what was attached to a table of a schema under a hint, as plain data."""
    return table.get(hint) or ()


async def _awaited(source: Any, then: Callable[[Any], Any]) -> Any:
    return then(await source)


def _attach(resource: DltResource, hint: str, ones: Sequence[Any]) -> None:
    before = resources.table_hint(resource, hint) or []
    # the same check may be attached twice: to a source and to its resource
    plain = [*before, *(made for one in ones if (made := one.as_dict()) not in before)]
    resource.apply_hints(additional_table_hints={hint: plain})


def _wrapped(function: Any, attach_to: Callable[[Mapping[str, Any]], None]) -> Any:
    def attached_to(given: Any) -> Any:
        if isinstance(given, DltSource):
            attach_to(given.resources)
            return given
        many = list(given) if isinstance(given, Iterator | list | tuple) else [given]
        attach_to({one.name: one for one in many if isinstance(one, DltResource)})
        return many

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def with_them_later(*args: Any, **kwargs: Any) -> Any:
            return attached_to(await function(*args, **kwargs))

        return with_them_later

    @functools.wraps(function)
    def with_them(*args: Any, **kwargs: Any) -> Any:
        return attached_to(function(*args, **kwargs))

    return with_them
