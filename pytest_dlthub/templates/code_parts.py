"""The parts of code: what a module, class, function or container holds, by name."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from inspect import Signature
from operator import is_
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import dlt
from dlt.pipeline.pipeline import Pipeline

from pytest_dlthub.imports import is_library, is_ours, is_pythons
from pytest_dlthub.templates.digests import OF_SESSION, PLAIN, digest
from pytest_dlthub.templates.hidden_state import HOLDERS, Unknown, inner_of

MISSING = object()
"""Stands for a missing value."""


class _Order:
    def __repr__(self) -> str:
        return "order"


ORDER = _Order()
"""Stands for the order of a mapping's keys."""

LEAVES = (*PLAIN, *OF_SESSION, bytes, ModuleType, Signature, Pipeline, Unknown)
"""Types without parts that are compared."""

# nobody replaces the content of these in place
FIXED: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    MethodType: ("__func__", "__self__"),
    property: ("fget", "fset", "fdel"),
}
_SLOTS: dict[type, tuple[str, ...]] = {functools.partial: ("func", "args", "keywords")}
_SIMPLE_LEAVES = frozenset(LEAVES)
_NO_LIBRARY = (
    *(type, dict, list, set, deque, tuple, frozenset, FunctionType, MethodType, SimpleNamespace),
    *(staticmethod, classmethod, property, functools.partial, BuiltinFunctionType, *HOLDERS),
)
_CONTAINERS = (dict, list, set, deque, tuple, frozenset, functools.partial, MethodType)
OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")
# pytest and dlt set these on the code that they run
_OF_RUNNERS = ("__pytest", "_dlt_", "pytestmark")
_ADDRESS = re.compile(" at 0x[0-9a-f]+")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Difference:
    """A difference to the imported code.

    Attributes:
        name: Its place, as `etl.Client.get`.
        digest: The digest of the current value; None if it has none.
        kind: The type of the current value.
    """

    name: str
    digest: str | None
    kind: str

    @classmethod
    def of(cls, name: str, value: Any) -> Difference:
        """Return the difference for a current value; `MISSING` if the name is gone."""
        return cls(name, digest_or_none(value), type(value).__name__)


@dataclass
class Whole:
    """An object of dlt: runs change it, but not its digest."""

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
    """The contents of one module, class, function, object or container, by name."""

    name: str
    read: Callable[[], Mapping[Any, Any]]
    is_container: bool = False
    is_library: bool = False
    # whether it has one value, which stands for the whole content of an object
    is_state: bool = False
    is_ordered: bool = False
    is_object: bool = False
    owner: type | None = None
    whole: Whole | None = None
    # the mapping, list or function itself, for comparing many parts at once
    live: Mapping[Any, Any] | None = None
    sequence: Collection[Any] | None = None
    function: Any = None
    # an object of one of the project's classes, or such a class
    holder: Any = None
    # tells its group that it has changed
    noted: Callable[[], None] | None = None
    names: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()

    def note(self, values: Mapping[Any, Any]) -> None:
        self.names, self.values = tuple(values), tuple(values.values())
        if self.noted is not None:
            self.noted()

    def is_same(self, now: Mapping[Any, Any]) -> bool:
        """Tell whether these are the noted objects."""
        if len(now) != len(self.values) or not all(map(is_, now.values(), self.values)):
            return False
        return not self.is_ordered or all(map(is_, now, self.names))

    def label(self, name: Any) -> str:
        if self.is_state:
            return self.name
        if not self.is_container:
            return f"{self.name}.{name}"
        return f"{self.name}[{_ADDRESS.sub('', repr(name)[:_LONGEST_NAME])}]"

    def changes(self, now: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
        """Yield name, old and new value for each name with another object."""
        before = dict(zip(self.names, self.values, strict=True))
        now = dict(now)
        for name in {**before, **now}:
            old, new = before.get(name, MISSING), now.get(name, MISSING)
            if self.owner is not None:
                # a test may have replaced an inherited method, and then set it on this class
                old, new = (_inherited(self.owner, name, value) for value in (old, new))
            is_whole = self.is_container or self.is_state
            if old is not new and (is_whole or self._counts(str(name), old, new)):
                yield name, old, new
        if self.is_ordered and now.keys() == before.keys() and [*now] != [*before]:
            # it may be the order of columns
            yield ORDER, tuple(before), tuple(now)

    def _counts(self, name: str, old: Any, new: Any) -> bool:
        if is_a(new, (ModuleType,)) and old is MISSING:
            # Python sets an imported module on its package
            return False
        is_code = callable(old) or callable(new)
        if is_code and _is_ours(new):
            # the sandbox wraps functions too
            return False
        if name.startswith(_OF_RUNNERS):
            return False
        if is_dunder(name) and not is_code:
            return name in OF_FUNCTIONS or name == "__mro__"
        if not self.is_library:
            return True
        if name.endswith("hook") or "showwarn" in name or name.startswith("last_"):
            # hooks of threads, warnings, failures and so on: pytest sets them for each test
            return False
        if is_code:
            # a library may import functions when code first uses them
            return old is not MISSING or self.owner is not None
        if name.startswith("_"):
            return False
        if self.is_object:
            # caches of an object in the project's code, such as an HTTP session, have no digest
            return digest_or_none(new) is not None
        constants = (*PLAIN, tuple, frozenset, list, dict, set) if name.isupper() else PLAIN
        return is_a(old, constants) and is_a(new, constants)


def _inherited(owner: type, name: str, value: Any) -> Any:
    if value is not MISSING:
        return value
    return next((vars(b)[name] for b in owner.__mro__[1:] if name in vars(b)), MISSING)


def is_library_type(kind: type) -> bool:
    """Tell whether a class belongs to an installed package or to Python."""
    return is_library(str(kind.__module__))


def is_library_object(value: Any) -> bool:
    """Tell whether a value is an object of a library's class, but no container."""
    return is_library_type(type(value)) and not is_a(value, _NO_LIBRARY)


def is_of_dlt(value: Any) -> bool:
    """Tell whether a value is an object or a function of dlt, or a container."""
    if is_a(value, _CONTAINERS):
        return True
    owner = value if is_a(value, (FunctionType,)) else type(value)
    return str(owner.__module__).partition(".")[0] == dlt.__name__


def is_namespace(value: Any) -> bool:
    """Tell whether a value is the namespace of a module."""
    if type(value) is not dict or "__name__" not in value:
        return False
    module = sys.modules.get(str(value["__name__"]))
    return module is not None and vars(module) is value


def is_dunder(name: str) -> bool:
    """Tell whether a name is one of Python's own."""
    return name.startswith("__") and name.endswith("__")


def cells(function: FunctionType) -> dict[str, Any]:
    """Return the values in a function's closure, by name."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # it may not have a value yet
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def of_function(function: FunctionType) -> Mapping[str, Any]:
    """Return the contents of a function, by name."""
    found = {name: getattr(function, name) for name in OF_FUNCTIONS}
    return {**found, **cells(function), **function.__dict__}


def of_object(value: Any) -> Mapping[str, Any]:
    """Return the attributes of an object, and its class: code may replace either."""
    return {**object.__getattribute__(value, "__dict__"), "__class__": type(value)}


def of_class(owner: type) -> Mapping[str, Any]:
    """Return the contents of a class, and its bases."""
    return {**vars(owner), "__mro__": owner.__mro__}


def _of_slots(value: Any, slots: tuple[str, ...]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name in slots:
        # it may not have a value yet, whatever a `__getattr__` of the class returns then
        with contextlib.suppress(AttributeError):
            found[name] = object.__getattribute__(value, name)
    return {**found, **getattr(value, "__dict__", {})}


def reader(value: Any) -> Callable[[], Mapping[Any, Any]] | None:
    """Return a function that reads the parts of a value; None if nobody can replace any."""
    if type(value) is dict:
        return lambda: value
    if is_a(value, (dict,)):
        # the plain contents, even if the class overrides its methods
        return functools.partial(dict.copy, value)
    if is_a(value, (list, deque)):
        return lambda: dict(enumerate(value))
    if is_a(value, (set,)):
        return lambda: {item: item for item in [*value]}
    if is_a(value, (type,)):
        return None
    if (inner := inner_of(value)) is not None:
        return inner
    slots = _SLOTS.get(type(value)) or slots_of(type(value))
    if slots:
        return functools.partial(_of_slots, value, slots)
    if type(value).__dictoffset__:
        return functools.partial(object.__getattribute__, value, "__dict__")
    return None


def is_imported(value: Any) -> bool:
    """Tell whether a value is an imported module, and not one that a test has made."""
    return is_a(value, (ModuleType,)) and getattr(value, "__spec__", None) is not None


def is_leaf(value: Any) -> bool:
    """Tell whether a value has no parts that are compared."""
    kind = type(value)
    if kind in _SIMPLE_LEAVES:
        return True
    if kind is BuiltinFunctionType:
        # a bound method is a leaf if its object is one
        return is_a(value.__self__, (type(None), ModuleType, type))
    if not issubclass(kind, LEAVES):
        return False
    # an object of a subclass of str or int may have attributes
    is_plain = issubclass(kind, PLAIN) and not issubclass(kind, Enum)
    return not (is_plain and kind.__dictoffset__)


def is_of_attributes(read: Callable[[], Mapping[Any, Any]]) -> bool:
    """Tell whether a reader returns the mapping of an object's attributes."""
    return getattr(read, "func", None) is object.__getattribute__


def slots_of(kind: Any) -> tuple[str, ...]:
    """Return the slots of a class and its bases."""
    found: list[str] = []
    for base in kind.__mro__:
        own = vars(base).get("__slots__", ())
        names = [own] if isinstance(own, str) else own
        # Python's prefix for private names
        hidden = f"_{base.__name__.lstrip('_')}"
        found += [f"{hidden}{n}" if n.startswith("__") and not is_dunder(n) else n for n in names]
    return tuple(name for name in found if not is_dunder(name))


def is_a(value: Any, kinds: tuple[type, ...]) -> bool:
    """Tell whether a value is of one of these types; `isinstance` would trust proxies and mocks."""
    return issubclass(type(value), kinds)


def digest_or_none(value: Any) -> str | None:
    """Return the digest of a value; None if it has none."""
    if value is MISSING:
        return ""
    if _is_foreign_code(value):
        return None
    try:
        if is_a(value, (ModuleType,)) and not is_imported(value):
            return digest({n: v for n, v in sorted(vars(value).items()) if not is_dunder(n)})
        return digest(value)
    except Exception:
        return None


def _is_ours(value: Any) -> bool:
    return is_a(value, (FunctionType,)) and is_ours(value.__code__.co_filename)


def _is_foreign_code(value: Any) -> bool:
    """Tell whether a value is code of an installed package, and may depend on its module."""
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
