"""Digests of values: equal contents have equal digests, in every process."""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import hashlib
import inspect
import itertools
import marshal
import sys
import types
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import dlt
import pytest
from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource
from dlt.extract.incremental import Incremental
from dlt.extract.reference import SourceFactory

from dlthub_project.dlt_internals import resources
from pytest_dlthub.imports import is_library
from pytest_dlthub.templates.read_files import file_digest

PLAIN = (type(None), bool, int, float, complex, str, Decimal, datetime, date, time, timedelta)
# longer lists are rows: every test that has a mark with them digests them
_MANY = 50
# for a factory: its sources have their own settings in their schema
_OF_FACTORY = ("name", "section", "max_table_nesting", "root_key", "schema_contract")
# former versions do not belong to the contents of a schema
_OF_VERSIONS = ("version", "version_hash", "previous_hashes", "imported_version_hash")
_OF_CODE = (
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_flags",
    "co_code",
    "co_names",
    "co_varnames",
    "co_consts",
    # since Python 3.11: the ranges of `try`
    "co_exceptiontable",
)

# libraries of fake APIs: their objects also hold the requests that they have got
_STUBS = ("pytest_httpx", "requests_mock", "responses", "respx")
OF_SESSION = (
    *(pytest.Config, pytest.PytestPluginManager, pytest.FixtureRequest, pytest.Item),
    pytest.Collector,
)
"""Types that lead to the whole session of pytest."""

# limit of lists, objects and so on in one value; so many take some seconds
_MOST_VALUES = 500_000

_OF_DESCRIPTORS: dict[type, tuple[str, ...]] = {
    types.MethodType: ("__func__", "__self__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    types.MemberDescriptorType: ("__name__",),
}


class NoDigest(TypeError):
    """A value has no content that two processes could compare."""


def digest(*values: Any) -> str:
    """Return a digest of the contents of `values`.

    It knows rows and their values, frames and Arrow tables, paths (with the contents of the file),
    dlt sources and resources, functions (with their code, defaults and closure), and values that
    pickle. The order of a mapping counts, since columns have an order. Modules, and classes that a
    module has by their name, count only by name: `imported_code` compares their contents.

    Raises:
        NoDigest: One of them has no digest.
    """
    digester = _Digester()
    for value in values:
        digester.add(value)
    return digester.state.hexdigest()


class _Digester:
    def __init__(self, outer: _Digester | None = None) -> None:
        self.state = hashlib.blake2b(digest_size=16)
        # the values around the one that is being added
        self._around: list[int] = [] if outer is None else outer._around
        # counts all added values; a value inside of several others counts each time
        self._count: Iterator[int] = itertools.count() if outer is None else outer._count

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN or kind is UUID:
            self._parts(kind.__name__, repr(value))
        elif kind in (bytes, bytearray):
            self._parts("bytes", bytes(value))
        elif id(value) in self._around:
            # functions that call each other, or a list that contains itself
            self._parts("around", str(len(self._around) - self._around.index(id(value))))
        elif next(self._count) > _MOST_VALUES:
            raise NoDigest(f"{_name(value)} is one of more than {_MOST_VALUES:,} values")
        else:
            self._around.append(id(value))
            try:
                self._add_compound(value)
            except RecursionError:
                raise NoDigest(f"{_name(value)} is nested too deeply") from None
            finally:
                self._around.pop()

    def _add_compound(self, value: Any) -> None:
        # no value matches two of these cases
        if isinstance(value, Path):
            content = file_digest(value) if value.exists() else "missing"
            self._parts("path", str(value), content)
        elif isinstance(value, types.CodeType):
            self._all("code", (getattr(value, name, None) for name in _OF_CODE))
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, type) and not _is_in_module(value):
            self._all("class", self._parts_of_class(value))
        elif isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            self._add_by_name(value)
        elif (names := _OF_DESCRIPTORS.get(type(value))) is not None:
            self._all(_name(value), (getattr(value, name) for name in names))
        elif isinstance(value, functools.partial):
            self._all("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, weakref.ref):
            self._all("reference", (value(),))
        elif (library := str(type(value).__module__).partition(".")[0]) == dlt.__name__:
            self._add_of_dlt(value)
        elif library in _STUBS:
            raise NoDigest(f"{_name(value)} of {library} tells what it was asked")
        elif isinstance(value, OF_SESSION):
            raise NoDigest(f"{_name(value)} is of a session of pytest")
        else:
            self._add_data(value)

    def _add_data(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._all("mapping", (part for item in value.items() for part in item))
        elif type(value) is list and len(value) > _MANY and (content := _plain_bytes(value)):
            self._parts("plain", content)
        elif isinstance(value, list | tuple):
            self._all("list" if isinstance(value, list) else "tuple", value)
        elif isinstance(value, set | frozenset):
            self._parts("set", *sorted(self._digest_of(item) for item in value))
        elif isinstance(value, Iterator | AsyncIterator) or inspect.iscoroutine(value):
            # one run uses it up, and nobody can see what it would yield
            raise NoDigest(f"{_name(value)} can be read only once")
        elif dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            self._all("dataclass", (type(value), fields))
        elif hasattr(value, "__arrow_c_stream__") and (content := _arrow_bytes(value)):
            self._parts(_name(value), content)
        else:
            self._all("object", _parts_of_object(value))

    def _add_of_dlt(self, value: Any) -> None:
        if isinstance(value, DltSource):
            parts = (value.section, value.schema, dict(value.selected_resources))
            self._all("source", parts)
        elif isinstance(value, DltResource):
            self._all("resource", (value.name, value.section, *_parts_of_resource(value)))
        elif isinstance(value, SourceFactory):
            settings = [getattr(value, name, None) for name in _OF_FACTORY]
            extras = (getattr(value, "schema", None), resources.postprocessors_of(value))
            self._all("factory", (*settings, *extras, value.ref.name, inspect.unwrap(value)))
        elif isinstance(value, Schema):
            self._all("schema", (without_empty(content_of_schema(value)),))
        elif isinstance(value, dict | list | tuple | Enum):
            self._add_data(value)
        else:
            self._all("dlt", _parts_of_dlts_object(value))

    def _add_function(self, function: types.FunctionType) -> None:
        self._all("function", _parts_of_function(_without_dlts_wrappers(function)))

    def _add_by_name(self, value: Any) -> None:
        module_name = str(getattr(value, "__module__", ""))
        self._parts("name", module_name, getattr(value, "__qualname__", value.__name__))
        if isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, dict | list):
            # a method of a container, such as `rows.copy`
            self.add(value.__self__)

    @staticmethod
    def _parts_of_class(owner: type) -> Iterator[Any]:
        yield from (owner.__module__, owner.__qualname__, owner.__bases__)
        for name, value in sorted(vars(owner).items()):
            if callable(value) or not name.startswith("__"):
                yield from (name, value)

    def _digest_of(self, value: Any) -> str:
        digester = _Digester(self)
        digester.add(value)
        return digester.state.hexdigest()

    def _parts(self, *parts: str | bytes) -> None:
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            # with the length, so that different lists of parts never look the same
            self.state.update(f"{len(encoded)}:".encode())
            self.state.update(encoded)

    def _all(self, kind: str, values: Any) -> None:
        self._parts(kind)
        for value in values:
            self.add(value)
        self._parts("end")


def content_of_schema(schema: Schema) -> dict[str, Any]:
    """Return the contents of a schema: its tables, settings and normalizers."""
    stored = schema.to_dict(bump_version=False)
    content = {name: part for name, part in stored.items() if name not in _OF_VERSIONS}
    # a stored schema lacks it
    return {**content, "max_length": schema.naming.max_length}


def without_empty(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return it without empty mappings: some stay when code removes a setting."""
    inner = (
        (name, without_empty(part) if isinstance(part, dict) else part)
        for name, part in content.items()
    )
    return {name: part for name, part in inner if part is not None and part != {}}


def _name(value: Any) -> str:
    return str(type(value).__qualname__)


def _is_in_module(owner: type) -> bool:
    """Tell whether a class is the one that its module has by that name."""
    if "<locals>" in owner.__qualname__:
        return False
    found: Any = sys.modules.get(owner.__module__)
    for name in owner.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is owner or is_library(owner.__module__)


def _without_dlts_wrappers(function: types.FunctionType) -> types.FunctionType:
    """Remove dlt's decorators from a function; those of others change its result, and stay."""
    while function.__globals__.get("__name__", "").partition(".")[0] == dlt.__name__:
        inner = getattr(function, "__wrapped__", None)
        if not isinstance(inner, types.FunctionType):
            break
        function = inner
    return function


def _parts_of_function(function: types.FunctionType) -> Iterator[Any]:
    yield from (function.__module__, function.__qualname__, function.__code__)
    yield from (function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            # it has no value yet
            continue
        yield content


def _parts_of_resource(resource: DltResource) -> Iterator[Any]:
    for step in resources.steps_of(resource):
        if isinstance(step, Iterator | AsyncIterator):
            raise NoDigest(f"resource `{resource.name}` is made from a {_name(step)}")
        yield step
    arguments, hints = resources.explicit_arguments(resource), resources.hints_of(resource)
    cursor = hints.get("incremental")
    if isinstance(cursor, Incremental) and _settings_of(cursor) in _declared(resource, arguments):
        # a run notes the incremental of the function's signature here
        del hints["incremental"]
    yield from (arguments, hints, resources.variants_of(resource))


def _declared(resource: DltResource, arguments: Mapping[str, Any]) -> list[str]:
    """Return the settings of the incrementals in the signatures of a resource's functions."""
    steps = (step for step in resources.steps_of(resource) if callable(step))
    signatures = [inspect.signature(inspect.unwrap(s)) for s in steps if inspect.isroutine(s)]
    found: list[str] = []
    for name, parameter in (item for s in signatures for item in s.parameters.items()):
        default, given = parameter.default, arguments.get(name)
        of_both = [cursor for cursor in (default, given) if isinstance(cursor, Incremental)]
        if len(of_both) == 2:
            of_both.append(default.merge(given))
        found += map(_settings_of, of_both)
    return found


def _settings_of(cursor: Incremental[Any]) -> str:
    # a run adds the primary key of the resource
    return digest([part for part in _settings(cursor) if part[0] != "primary_key"])


def _parts_of_dlts_object(value: Any) -> Iterator[Any]:
    """Yield the arguments of a step, an incremental or another hint, not what a run adds."""
    yield type(value)
    yield from _settings(value)


def _settings(value: Any) -> Iterator[tuple[str, Any]]:
    # `_f` is the function of a map or filter
    for name in (*inspect.signature(type(value)).parameters, "_f"):
        item: Any = getattr(value, name, None)
        # a method of the object itself adds nothing
        yield name, item.__func__ if getattr(item, "__self__", None) is value else item


def _plain_bytes(rows: list[Any]) -> bytes:
    """Return rows of plain values as bytes, without visiting each; empty if there are others."""
    try:
        # in version 0, equal rows have equal bytes, even if they share objects
        return marshal.dumps(rows, 0)
    except ValueError:
        return b""


def _arrow_bytes(value: Any) -> bytes:
    """Return a frame in Arrow's format; empty if Arrow cannot hold one of its types."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    try:
        table = pa.table(value)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
    except pa.ArrowException:
        return b""
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _parts_of_object(value: Any) -> Iterator[Any]:
    """Yield what `pickle` would write, but not as bytes: sets have a random order there."""
    yield type(value)
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        reduced: Any = reducer(value) if reducer else value.__reduce_ex__(4)
    except Exception as error:
        raise NoDigest(f"{_name(value)} does not pickle: {error}") from error
    if isinstance(reduced, str):
        yield reduced
        return
    for part in reduced:
        yield list(part) if isinstance(part, Iterator) else part
