"""Checks that a resource brings with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dlthub_project.data_quality.attachments import Kind, attached, attaching
from dlthub_project.data_quality.check_kinds import Check, check_of

if TYPE_CHECKING:
    import dlt

_CHECKS = Kind("with_checks", "check", "dq.checks", Check, "x-checks")
_T = TypeVar("_T")

# resource and check; a dict for its order
_declared: dict[tuple[str, Check], None] = {}


def with_checks(*checks: Check | Mapping[str, Sequence[Check]]) -> Callable[[_T], _T]:
    """Make a decorator that gives checks to a resource, a transformer or a source.

    It stands above `@dlt.resource`, `@dlt.transformer` and `@dlt.hub.transformation`, and above or
    below `@dlt.source`, or takes an object: `with_checks(dq.checks.is_unique("id"))(orders)`.

    Args:
        *checks: The checks of a resource; for a source, a mapping from the names of its resources
            to the checks of each.

    Raises:
        TypeError: Something is no check, or the decorated object makes no tables.
        ValueError: A source has no such resource.
    """
    attach: Callable[[_T], _T] = attaching(_CHECKS, checks)

    def attached_and_noted(target: _T) -> _T:
        made = attach(target)
        for one in checks:
            of_resource = one if isinstance(one, Mapping) else {getattr(target, "name", ""): [one]}
            for name, of in of_resource.items():
                _declared.update(dict.fromkeys((name, check) for check in of))
        return made

    return attached_and_noted


def declared_checks() -> list[tuple[str, Check]]:
    """Return the resources, with their checks, that code of this process has decorated so far."""
    return list(_declared)


def extracted_checks(trace: Any, load_ids: Collection[str]) -> dict[str, list[Check]]:
    """Return the checks of the resources that were extracted into loads, by resource.

    A schema has only the checks of tables, and a resource that has yielded nothing may have no
    table.

    Args:
        trace: The trace of the run; None for none.
        load_ids: The loads.
    """
    step = trace.last_pipeline_step_trace("extract") if trace is not None else None
    loads = step.step_info.metrics if step is not None and step.step_info is not None else {}
    found: dict[str, list[Check]] = {}
    for extracted in (one for load_id in load_ids for one in loads.get(load_id, ())):
        for resource, hints in extracted["hints"].items():
            more = hints.get("additional_table_hints")
            of_table = more if isinstance(more, Mapping) else hints
            if plain := attached(of_table, _CHECKS.hint):
                found[resource] = [check_of(one) for one in plain]
    return found


def attached_checks(*schemas: dlt.Schema) -> dict[str, list[Check]]:
    """Return the checks that resources have brought into schemas, by table."""
    return {
        name: [check_of(plain) for plain in hints]
        for schema in schemas
        for name, table in schema.tables.items()
        if (hints := attached(table, _CHECKS.hint))
    }
