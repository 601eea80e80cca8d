"""What code consists of, part by part: what a module, class, function or container holds."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, is_, methodcaller
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from dlt.common.schema import Schema
from dlt.pipeline.pipeline import Pipeline

from pytest_dlthub.imports import is_library, is_ours
from pytest_dlthub.templates.digests import PLAIN, digest

MISSING = object()
"""Stands for what is not there."""

LEAVES = (*PLAIN, bytes, ModuleType, BuiltinFunctionType, logging.Logger, Schema, Pipeline)
"""Types of what has no parts that are looked at."""

_SLOTS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    MethodType: ("__func__", "__self__"),
    property: ("fget", "fset"),
    functools.partial: ("func", "args", "keywords"),
}
_NO_LIBRARY = (
    *(type, dict, list, set, deque, tuple, frozenset, FunctionType, MethodType, SimpleNamespace),
    *(staticmethod, classmethod, property, functools.partial),
)
OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")
# what pytest and dlt note on the code that they run
_OF_RUNNERS = ("__pytest", "_dlt_", "pytestmark")
_get_code = attrgetter("__code__")
_get_defaults = attrgetter("__defaults__", "__kwdefaults__")
_get_dict = attrgetter("__dict__")
_get_values = methodcaller("values")


@dataclass(frozen=True)
class Difference:
    """What is not as it was imported.

    Attributes:
        name: Where, as `etl.Client.get`.
        digest: That of what is there now; None where it cannot be compared.
        kind: The type of it.
    """

    name: str
    digest: str | None
    kind: str

    @classmethod
    def of(cls, name: str, value: Any) -> Difference:
        """Return the difference that a value makes; `MISSING` where nothing is any more."""
        return cls(name, digest_or_none(value), type(value).__name__)


@dataclass
class Whole:
    """An object of dlt: a run notes something in it, and its digest stays the same."""

    name: str
    value: Any
    digest: str

    @classmethod
    def of(cls, name: str, value: Any) -> Whole | None:
        try:
            return cls(name, value, digest(value))
        except Exception:
            return None

    def difference(self) -> Difference | None:
        now = Difference.of(self.name, self.value)
        return None if now.digest == self.digest else now


@dataclass
class Part:
    """What one module, class, function, object or container holds, by name."""

    name: str
    read: Callable[[], Mapping[Any, Any]]
    is_container: bool = False
    is_library: bool = False
    owner: type | None = None
    whole: Whole | None = None
    # what is compared together with others: a mapping or list that lasts, a simple function
    live: Mapping[Any, Any] | None = None
    sequence: Collection[Any] | None = None
    function: Any = None
    names: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()

    def note(self, values: Mapping[Any, Any]) -> None:
        self.names, self.values = tuple(values), tuple(values.values())

    def label(self, name: Any) -> str:
        return f"{self.name}[{name!r}]" if self.is_container else f"{self.name}.{name}"

    def changes(self, now: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
        """Yield name, old and new value of what is another object now."""
        before = dict(zip(self.names, self.values, strict=True))
        now = dict(now)
        for name in {**before, **now}:
            old, new = before.get(name, MISSING), now.get(name, MISSING)
            if self.owner is not None:
                # a method that was replaced, and put back where it had been inherited
                old, new = (_inherited(self.owner, name, value) for value in (old, new))
            if old is not new and (self.is_container or self._counts(str(name), old, new)):
                yield name, old, new

    def _counts(self, name: str, old: Any, new: Any) -> bool:
        if is_a(new, (ModuleType,)) and old is MISSING:
            # a module is imported into its package
            return False
        is_code = callable(old) or callable(new)
        if is_code and _is_ours(new):
            # the sandbox wraps what it is in the way of
            return False
        if name.startswith(_OF_RUNNERS):
            return False
        if is_dunder(name) and not is_code:
            return name in OF_FUNCTIONS
        if not self.is_library:
            return True
        if name.endswith("hook") or "showwarn" in name:
            # of threads, warnings and so on: pytest sets them for each test
            return False
        if is_code:
            # functions that a library imports when they are first asked for
            return old is not MISSING or self.owner is not None
        return is_a(old, PLAIN) and is_a(new, PLAIN) and not name.startswith("_")


class Together:
    """Compares most parts at once: one at a time would take some ms."""

    def __init__(self, parts: Iterable[Part]) -> None:
        parts = [*parts]
        live = [part for part in parts if part.live is not None]
        lists = [part for part in parts if part.sequence is not None]
        simple = [part for part in parts if part.function is not None]
        # one that had none cannot be called without
        defaults = [part for part in simple if any(part.values[1:])]
        together = {id(part) for part in (*live, *lists, *simple)}
        self.others = [part for part in parts if id(part) not in together]
        self._mappings = [part.live for part in live if part.live is not None]
        self._sequences = [part.sequence for part in lists if part.sequence is not None]
        self._functions = [part.function for part in simple]
        self._code = [part.values[0] for part in simple]
        self._with_defaults = [part.function for part in defaults]
        self._lengths = [len(part.values) for part in (*live, *lists)]
        self._values = [value for part in (*live, *lists) for value in part.values]
        self._values += [value for part in defaults for value in part.values[1:]]

    def is_same(self) -> bool:
        if [*map(len, chain(self._mappings, self._sequences))] != self._lengths:
            return False
        # of equal code it is the same which one it is; to ask costs an audit event each
        if [*map(_get_code, self._functions)] != self._code or any(map(_get_dict, self._functions)):
            return False
        mappings = chain.from_iterable(map(_get_values, self._mappings))
        defaults = chain.from_iterable(map(_get_defaults, self._with_defaults))
        now = chain(mappings, chain.from_iterable(self._sequences), defaults)
        return all(map(is_, now, self._values))


def _inherited(owner: type, name: str, value: Any) -> Any:
    if value is not MISSING:
        return value
    return next((vars(b)[name] for b in owner.__mro__[1:] if name in vars(b)), MISSING)


def is_library_type(kind: type) -> bool:
    """Tell whether a class is one of an installed package or of Python."""
    return is_library(str(kind.__module__))


def is_library_object(value: Any) -> bool:
    """Tell whether a value is an object of a library's class, and no container."""
    return is_library_type(type(value)) and not is_a(value, _NO_LIBRARY)


def is_dunder(name: str) -> bool:
    """Tell whether a name is one of Python's own."""
    return name.startswith("__") and name.endswith("__")


def is_pythons(name: str) -> bool:
    """Tell whether a module is one of Python's library."""
    return name.partition(".")[0] in sys.stdlib_module_names


def cells(function: FunctionType) -> dict[str, Any]:
    """Return what a function closes over, by name."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # it may not be set yet
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def of_function(function: FunctionType) -> Mapping[str, Any]:
    """Return what a function consists of, by name."""
    found = {name: getattr(function, name) for name in OF_FUNCTIONS}
    return {**found, **cells(function), **function.__dict__}


def _of_slots(value: Any, slots: tuple[str, ...]) -> Mapping[str, Any]:
    found = {name: v for name in slots if (v := getattr(value, name, MISSING)) is not MISSING}
    return {**found, **getattr(value, "__dict__", {})}


def reader(value: Any) -> Callable[[], Mapping[Any, Any]] | None:
    """Return what reads the parts of a value; None where it has none that could be replaced."""
    if type(value) is dict:
        return lambda: value
    if is_a(value, (dict,)):
        # as it is, whatever its own methods tell
        return functools.partial(dict.copy, value)
    if is_a(value, (list, deque)):
        return lambda: dict(enumerate(value))
    if is_a(value, (set,)):
        return lambda: {item: item for item in [*value]}
    if is_a(value, (type,)):
        return None
    slots = _SLOTS.get(type(value)) or slots_of(type(value))
    if slots:
        return functools.partial(_of_slots, value, slots)
    if type(value).__dictoffset__:
        return functools.partial(object.__getattribute__, value, "__dict__")
    return None


def slots_of(kind: Any) -> tuple[str, ...]:
    """Return the slots of a class and its bases."""
    found: list[str] = []
    for base in kind.__mro__:
        own = vars(base).get("__slots__", ())
        found += [own] if isinstance(own, str) else own
    return tuple(name for name in found if not is_dunder(name))


def is_a(value: Any, kinds: tuple[type, ...]) -> bool:
    """Tell whether a value is of one of these types: proxies and mocks tell another class."""
    return issubclass(type(value), kinds)


def digest_or_none(value: Any) -> str | None:
    """Return the digest of a value; None where it cannot be compared."""
    if value is MISSING:
        return ""
    if _is_foreign_code(value):
        return None
    try:
        return digest(value)
    except Exception:
        return None


def _is_ours(value: Any) -> bool:
    return is_a(value, (FunctionType,)) and is_ours(value.__code__.co_filename)


def _is_foreign_code(value: Any) -> bool:
    """Tell whether a value is code of an installed package, whose modules may say what it gives."""
    if not is_a(value, (type, FunctionType)) or "<locals>" in value.__qualname__:
        return False
    if is_pythons(value.__module__ or "") or not is_library(value.__module__ or ""):
        return False
    return is_a(value, (type,)) or _asks_its_module(value, set())


def _asks_its_module(function: FunctionType, seen: set[FunctionType]) -> bool:
    seen.add(function)
    for name in function.__code__.co_names:
        found: Any = function.__globals__.get(name)
        if is_a(found, (FunctionType,)):
            if found not in seen and _asks_its_module(found, seen):
                return True
        elif is_a(found, (type,)):
            if not issubclass(found, BaseException) and not is_pythons(found.__module__):
                return True
        elif not is_a(found, LEAVES):
            return True
    return False
