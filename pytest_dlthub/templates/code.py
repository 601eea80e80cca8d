"""Code as it was imported, and as it is when a test asks for what was loaded.

Tests replace functions, methods, constants and what is in containers, by whatever means. So nothing
is asked of the means: the objects that modules consist of are compared with those that were there
after the import, by identity, which takes some 30 ns for each.

Of the project's modules, tests among them, everything counts. Of a library that they use, code and
public constants do: it has caches of its own.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from pytest_dlthub.imports import Imports, is_library, is_library_file
from pytest_dlthub.templates.parts import (
    LEAVES,
    MISSING,
    Difference,
    Part,
    Together,
    Whole,
    cells,
    digest_or_none,
    is_a,
    is_dunder,
    is_library_object,
    is_library_type,
    is_pythons,
    of_function,
    reader,
    slots_of,
)

# by which code reaches the world, in modules and libraries that are not looked into
_WAYS_OUT = (
    *("builtins", "csv", "datetime", "http.client", "io", "json", "os", "pathlib", "posixpath"),
    *("random", "shutil", "socket", "subprocess", "time", "urllib.request", "uuid"),
    *("aiohttp", "httpcore", "httpx", "requests", "urllib3"),
)
_OF_DLT = ("dlt.sources.helpers", "dlt.sources.rest_api", "dlt.sources.sql_database")
_NOT_USED = ("_pytest", "dlthub_project", "pluggy", "pytest", "pytest_dlthub", "unittest")
# modules of a package; of larger ones those count that are named
_SMALL = 120
# of what one name holds: a table of constants may be long
_MOST_PARTS = 2000
_DEEPEST_IN_LIBRARY = 3
_AS_ONE = (DltResource, DltSource, SourceFactory)


@dataclass
class Code:
    """The modules of a process that loads are made with.

    Attributes:
        imports: What noted modules as they were imported.
        at_start: What was replaced before the first test, and cannot be compared.
    """

    imports: Imports
    at_start: list[tuple[str, str]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _modules: dict[str, ModuleType] = field(default_factory=dict)
    _parts: dict[int, Part] = field(default_factory=dict)
    # of modules that own code imports, perhaps later
    _used: set[str] = field(default_factory=set)
    _together: Together | None = None

    def begin(self) -> None:
        """Note the modules that tests begin with; what is replaced by then stays so."""
        self.imports.at_end(self._parts.clear)
        found = self.differences()
        self.at_start = [(d.name, d.kind) for d in found if d.digest is None]
        self.accept([d for d in found if d.digest is not None])

    def differences(self) -> list[Difference]:
        """Return what is not as it was imported, and what of it cannot be compared."""
        self._watch()
        found: list[Difference] = []
        for name, module in [*self._modules.items()]:
            now = sys.modules.get(name)
            if now is module:
                continue
            if isinstance(now, ModuleType) and not is_library(name):
                # imported anew: noted as it was then
                self._watch_own(now)
            elif now is not None:
                found.append(Difference.of(name, now))
        wholes: set[str] = set()
        for part, changes in self._changes():
            if part.whole and part.whole.name in wholes:
                continue
            if part.whole:
                if difference := part.whole.difference():
                    wholes.add(part.whole.name)
                    found.append(difference)
                else:
                    self._note(part, part.read())
                continue
            for name, old, new in changes:
                difference = Difference.of(part.label(name), new)
                if difference.digest is None or difference.digest != digest_or_none(old):
                    found.append(difference)
        return sorted({d.name: d for d in found}.values(), key=lambda d: d.name)

    def accept(self, before: Collection[Difference]) -> None:
        """Take what has changed for what was imported: a build sets what is set lazily.

        Args:
            before: The differences before the build; they stay.
        """
        names = {difference.name for difference in before}
        for part, changes in self._changes():
            if part.whole and part.whole.name in names:
                continue
            values = dict(zip(part.names, part.values, strict=True))
            for name, _, new in changes:
                if part.label(name) in names:
                    continue
                values.pop(name, None)
                if new is not MISSING:
                    values[name] = new
                    self._add(part.label(name), new, is_library=part.is_library)
            self._note(part, values)
            if part.whole and (whole := Whole.of(part.whole.name, part.whole.value)):
                part.whole.digest = whole.digest
        self._watch()

    def _changes(self) -> list[tuple[Part, list[tuple[Any, Any, Any]]]]:
        """Return what is another object now, with name, old and new value."""
        if self._together is None:
            self._together = Together(self._parts.values())
        parts = self._together.others if self._together.is_same() else [*self._parts.values()]
        found = []
        for part in parts:
            now = part.read()
            if len(now) == len(part.values) and all(map(is_, now.values(), part.values)):
                continue
            if changes := [*part.changes(now)]:
                found.append((part, changes))
            else:
                self._note(part, now)
        return found

    def _note(self, part: Part, values: Mapping[Any, Any]) -> None:
        part.note(values)
        if part.function is not None and part.function.__dict__:
            # it is looked at alone from here on
            part.function = None
        self._together = None

    def _watch(self) -> None:
        """Note the modules that were imported since the last time."""
        new = sys.modules.keys() - self._seen
        if not new:
            return
        self._seen |= new
        for name in sorted(new):
            module = sys.modules.get(name)
            if isinstance(module, ModuleType) and not is_library(name):
                self._watch_own(module)
        names = [name for name in [*sys.modules] if name not in self._modules]
        tops = Counter(name.partition(".")[0] for name in [*sys.modules])
        for name in names:
            top = name.partition(".")[0]
            if top in _NOT_USED:
                continue
            is_used = name in self._used or name in _WAYS_OUT or name.startswith(_OF_DLT)
            is_of_small = top in self._used or top in _WAYS_OUT
            if is_used or (is_of_small and tops[top] <= _SMALL and not is_pythons(top)):
                self._watch_library(name)

    def _watch_own(self, module: ModuleType) -> None:
        name = module.__name__
        self._modules[name] = module
        noted = dict(self.imports.noted(module))
        # by the object, which may be loaded into again
        self._part(id(module), Part(name, lambda: vars(module), live=vars(module)), noted)
        for attribute, value in noted.items():
            if not is_dunder(attribute):
                self._used |= _module_of(value)
                self._add(f"{name}.{attribute}", value)

    def _watch_library(self, name: str) -> None:
        module = sys.modules[name]
        if not isinstance(module, ModuleType):
            return
        self._modules[name] = module
        noted = dict(self.imports.noted(module))
        live = vars(module)
        self._part(id(module), Part(name, lambda: live, is_library=True, live=live), noted)
        if name.startswith("dlt") and not name.startswith(_OF_DLT):
            # the sandbox wraps methods of its classes
            return
        top = name.partition(".")[0]
        for attribute, value in noted.items():
            if isinstance(value, type) and str(value.__module__).partition(".")[0] == top:
                self._class_part(f"{name}.{attribute}", value, is_library=True)

    def _add(self, name: str, value: Any, *, is_library: bool = False) -> None:
        """Note what is in a value, and in what is in that."""
        queue: deque[tuple[str, Any, int, bool, Whole | None]] = deque()
        queue.append((name, value, 0, is_library, None))
        for _ in range(_MOST_PARTS):
            while queue and (is_a(queue[0][1], LEAVES) or id(queue[0][1]) in self._parts):
                queue.popleft()
            if not queue:
                return
            label, found, depth, of_library, whole = queue.popleft()
            if is_a(found, _AS_ONE):
                whole = Whole.of(label, found)
            of_library = of_library or is_library_object(found)
            if of_library and whole is None and depth > _DEEPEST_IN_LIBRARY:
                continue
            inside = self._inside(label, found, whole, is_library=of_library)
            queue.extend((n, v, depth + 1, of_library, whole) for n, v in inside)

    def _inside(
        self, name: str, value: Any, whole: Whole | None, *, is_library: bool
    ) -> Iterator[tuple[str, Any]]:
        if is_a(value, (type,)):
            if is_library_type(value):
                return
            if "<" not in value.__qualname__:
                name = f"{value.__module__}.{value.__qualname__}"
            part = self._class_part(name, value)
            yield from ((f"{name}.{base.__name__}", base) for base in value.__bases__)
        elif is_a(value, (tuple, frozenset)):
            yield from ((f"{name}[{n}]", item) for n, item in enumerate(value))
            return
        elif isinstance(value, FunctionType):
            if is_library_file(value.__code__.co_filename):
                # a decorator of a library: what it is put on is in its closure
                yield from ((name, content) for content in cells(value).values())
                return
            self._used |= _names_in(value.__code__)
            is_simple = not value.__closure__ and not value.__dict__
            part = Part(name, functools.partial(of_function, value))
            if is_simple:
                part.function = value
            part = self._part(id(value), part)
        elif (read := reader(value)) is not None:
            is_container = is_a(value, (dict, list, set, deque))
            is_library = is_library and whole is None
            part = Part(name, read, is_container, is_library, whole=whole)
            if type(value) is dict:
                part.live = value
            elif type(value) in (list, deque):
                part.sequence = value
            elif whole is not None and type(value).__dictoffset__ and not slots_of(type(value)):
                part.live = read()
            part = self._part(id(value), part)
        else:
            return
        for inner, content in zip(part.names, part.values, strict=True):
            if part.is_container or not is_dunder(inner) or callable(content):
                yield part.label(inner), content

    def _class_part(self, name: str, owner: type, *, is_library: bool = False) -> Part:
        live = vars(owner)
        part = Part(name, lambda: live, is_library=is_library, owner=owner, live=live)
        return self._part(id(owner), part)

    def _part(self, key: int, part: Part, values: Mapping[Any, Any] | None = None) -> Part:
        # what it reads keeps its object, so that no other has its id
        if key not in self._parts:
            self._note(part, part.read() if values is None else values)
            self._parts[key] = part
        return self._parts[key]


def _module_of(value: Any) -> set[str]:
    """Return the names of the library modules that a value of a module comes from."""
    if isinstance(value, ModuleType):
        return {value.__name__, value.__name__.partition(".")[0]}
    owner = value if isinstance(value, type | FunctionType | BuiltinFunctionType) else type(value)
    name = str(getattr(owner, "__module__", None) or "")
    return {name, name.partition(".")[0]} if is_library(name) else set()


@functools.lru_cache(maxsize=8192)
def _names_in(code: CodeType) -> frozenset[str]:
    """Return the names that code uses: modules that it imports are among them."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return frozenset(code.co_names).union(*map(_names_in, inner))
