"""Checks that a resource brings with it; they travel in the schema, as a hint of its table."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dlt.extract import DltResource, DltSource

from dlthub_project.data_quality.check_kinds import Check, check_of
from dlthub_project.dlt_internals import resources
from dlthub_project.errors import known_names

if TYPE_CHECKING:
    import dlt

_HINT = "x-checks"
_T = TypeVar("_T")

# resource and check; a dict for its order
_declared: dict[tuple[str, Check], None] = {}


def with_checks(*checks: Check | Mapping[str, Sequence[Check]]) -> Callable[[_T], _T]:
    """Make a decorator that gives checks to a resource, a transformer or a source.

    It stands above `@dlt.resource` and `@dlt.transformer`, and below `@dlt.source`, or takes an
    object: `with_checks(dq.checks.is_unique("id"))(orders)`.

    Args:
        *checks: The checks of a resource; of a source, a mapping of the names of its resources to
            theirs.

    Raises:
        TypeError: Something is no check, or is given to what has no tables.
        ValueError: A source has no such resource.
    """
    of_source: dict[str, tuple[Check, ...]] = {}
    for one in checks:
        if isinstance(one, Mapping):
            of_source.update({name: tuple(of) for name, of in one.items()})
    of_resource = tuple(one for one in checks if not isinstance(one, Mapping))
    if bool(of_source) == bool(of_resource):
        raise TypeError("with_checks: checks are expected, or a mapping of resources to checks")
    for check in (*of_resource, *(one for of in of_source.values() for one in of)):
        if not isinstance(check, Check):
            raise TypeError(f"with_checks: {check!r} is no check; make one by dq.checks")

    def decorate(target: _T) -> _T:
        if isinstance(target, DltResource) and of_resource:
            _attach(target, of_resource)
            return target
        if isinstance(target, DltSource) and of_source:
            _attach_to(target.resources, of_source)
            return target
        if inspect.isfunction(target) and of_source:
            for name, of in of_source.items():
                _declared.update(dict.fromkeys((name, check) for check in of))
            wrapped: _T = _wrapped(target, of_source)
            return wrapped
        what = getattr(target, "__name__", type(target).__name__)
        raise TypeError(
            f"with_checks: {what}: checks belong to a resource or transformer, a mapping of "
            "resources to checks to a source, or to the function below `@dlt.source`"
        )

    return decorate


def attached_checks(*schemas: dlt.Schema) -> dict[str, list[Check]]:
    """Return the checks that resources have brought into schemas, by table."""
    found: dict[str, list[Check]] = {}
    for schema in schemas:
        for name, table in schema.tables.items():
            hints: Any = table.get(_HINT) or ()
            if hints:
                found[name] = [check_of(hint) for hint in hints]
    return found


def declared_checks() -> list[tuple[str, Check]]:
    """Return the resources and checks that code of this process has brought together so far."""
    return list(_declared)


def _attach(resource: DltResource, checks: Sequence[Check]) -> None:
    _declared.update(dict.fromkeys((resource.name, check) for check in checks))
    before = resources.table_hint(resource, _HINT) or []
    plain = [*before, *(check.as_dict() for check in checks)]
    resource.apply_hints(additional_table_hints={_HINT: plain})


def _attach_to(there: Mapping[str, Any], checks: Mapping[str, Sequence[Check]]) -> None:
    for name, of_resource in checks.items():
        if name not in there:
            known = known_names(name, there)
            raise ValueError(f"with_checks: the source has no resource `{name}`. {known}")
        _attach(there[name], of_resource)


def _wrapped(function: Any, checks: Mapping[str, Sequence[Check]]) -> Any:
    @functools.wraps(function)
    def with_its_checks(*args: Any, **kwargs: Any) -> Any:
        given = function(*args, **kwargs)
        if isinstance(given, DltSource):
            _attach_to(given.resources, checks)
            return given
        many = list(given) if isinstance(given, Iterator | list | tuple) else [given]
        _attach_to({one.name: one for one in many if isinstance(one, DltResource)}, checks)
        return many

    return with_its_checks
