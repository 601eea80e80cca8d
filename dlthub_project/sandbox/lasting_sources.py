"""Takes out of sources that outlive a sandbox what its runs have put into them.

A run changes the objects that it gets. The schema of a source takes what the run infers, and
arguments such as `schema_contract`. The hints of a resource take arguments such as
`write_disposition`, and the hints that come with rows (`dlt.mark`). A source may get another
schema. Production imports a module for one process, and all tests share one import. Changes that
code itself makes stay, as in any object of a module, even those between two runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource

from dlthub_project.dlt_internals import resources
from dlthub_project.sandbox import pipelines
from dlthub_project.sandbox.settings import Sandbox

_GONE = object()


@dataclass
class _Changed:
    """What a run has changed in one object: its state before and after."""

    target: Any
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    before: Any
    after: Any = None

    def undo(self) -> None:
        now = self.read(self.target)
        if (then := undone(self.before, self.after, now)) is not now:
            self.write(self.target, then)


# by the folder of the sandbox, while it lasts; in the order of its runs
_changes: dict[str, list[_Changed]] = {}
_schemas: dict[str, dict[int, Schema]] = {}


@contextmanager
def noted(data: Any, schema: Any, sandbox: Sandbox) -> Iterator[None]:
    """Note what the run in a block changes in the sources, resources and schema that it gets.

    First, the changes of runs in other sandboxes are undone: those of a fixture of wider scope, or
    of a test that has a template built.
    """
    put_back_sources(sandbox.folder)
    found = [*_states_of(data, schema)]
    schemas = {id(one.target): one.target for one in found if isinstance(one.target, Schema)}
    _schemas.setdefault(sandbox.folder, {}).update(schemas)
    with _noted(found, sandbox):
        yield


@contextmanager
def noted_schemas(sandbox: Sandbox) -> Iterator[None]:
    """Note what a block changes in the schemas of sources that have been extracted: normalizing.

    A pipeline goes on with the schema of its source, and not with a copy.
    """
    with _noted([_of_schema(one) for one in _schemas.get(sandbox.folder, {}).values()], sandbox):
        yield


@contextmanager
def _noted(found: list[_Changed], sandbox: Sandbox) -> Iterator[None]:
    try:
        yield
    finally:
        for one in found:
            one.after = one.read(one.target)
        changed = [one for one in found if not _is_same(one.before, one.after)]
        _changes.setdefault(sandbox.folder, []).extend(changed)


def put_back_sources(folder: str | None = None) -> None:
    """Undo what runs have changed in all sandboxes but that in `folder`."""
    for other in [other for other in _changes if other != folder]:
        put_back(other)


def put_back(folder: str) -> None:
    """Undo what runs in a sandbox have changed, the last run first."""
    _schemas.pop(folder, None)
    for changed in reversed(_changes.pop(folder, [])):
        changed.undo()


def _states_of(data: Any, schema: Any) -> Iterator[_Changed]:
    given = data if isinstance(data, list | tuple) else [data]
    of_dlt = [item for item in given if isinstance(item, DltSource | DltResource)]
    schemas = {id(schema): schema} if isinstance(schema, Schema) else {}
    for source in of_dlt:
        if isinstance(source, DltSource):
            schemas[id(source.schema)] = source.schema
            # first the earlier schema is put back, then its content
            yield _Changed(source, _schema_of, _set_schema, _schema_of(source))
    for one in schemas.values():
        yield _of_schema(one)
    for resource in resources.resources_of(of_dlt):
        state = resources.changing_state(resource)
        yield _Changed(resource, resources.changing_state, resources.set_changing_state, state)


def _of_schema(schema: Schema) -> _Changed:
    return _Changed(schema, _content_of, _set_content, _content_of(schema))


def undone(before: Any, after: Any, now: Any) -> Any:
    """Return the present value without the changes between `before` and `after`.

    Mappings are compared key by key.
    """
    if _is_same(after, now):
        return before
    kinds = {type(value) for value in (before, after, now) if value is not _GONE}
    if kinds == {tuple} and _GONE not in (before, after, now):
        return _without_added(before, after, now)
    if kinds != {dict}:
        return now
    if now is _GONE:
        return now
    old, new = ({} if each is _GONE else each for each in (before, after))
    names = [*now, *(name for name in old if name not in now)]
    values = (undone(*(each.get(name, _GONE) for each in (old, new, now))) for name in names)
    left = {name: value for name, value in zip(names, values, strict=True) if value is not _GONE}
    return _GONE if before is _GONE and not left else left


def _without_added(before: Any, after: Any, now: Any) -> tuple[Any, ...]:
    """Return a sequence without the items that were added, and with those that were removed."""
    old, new, left = (set(map(id, each)) for each in (before, after, now))
    found = [item for item in now if id(item) in old or id(item) not in new]
    for index, item in enumerate(before):
        if id(item) not in new and id(item) not in left:
            found.insert(index, item)
    return tuple(found)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether plain data are equal, and other objects the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [*one] == [*other] and all(map(_is_same, one.values(), other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return isinstance(one, str | int | float | bool) and bool(one == other)


def _schema_of(source: DltSource) -> Schema:
    return source.schema


def _set_schema(source: DltSource, schema: Schema) -> None:
    source.schema = schema


def _content_of(schema: Schema) -> dict[str, Any]:
    content: dict[str, Any] = deepcopy(dict(schema.to_dict(bump_version=False)))
    # a schema that is stored does not have it
    return {"content": content, "max_length": schema.naming.max_length}


def _set_content(schema: Schema, state: dict[str, Any]) -> None:
    # in place: copies of a source, as `with_resources` makes them, share its schema
    pipelines.keep_content_of(schema)
    stored: Any = deepcopy(state["content"])
    stored["tables"] = _named(stored["tables"])
    for table in stored["tables"].values():
        table["columns"] = _named(table["columns"])
    vars(schema).update(vars(Schema.from_stored_schema(stored)))
    schema.naming.max_length = state["max_length"]


def _named(parts: dict[str, Any]) -> dict[str, Any]:
    """Return tables or columns, without those that consist only of undone changes."""
    return {name: part for name, part in parts.items() if "name" in part}
