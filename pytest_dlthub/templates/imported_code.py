"""Finds what has changed in code between its import and a test that asks for loaded data.

Tests replace functions, methods, constants and items of containers in many ways. So the way does
not matter here: the objects in a module are compared by identity with those right after its
import, which takes some 30 ns for each.

In the project's own modules, including tests, everything counts. In a library that they use, code
and public constants do: it also has caches of its own.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from pytest_dlthub.imports import Imports, is_library, is_library_file, is_pythons
from pytest_dlthub.templates.code_parts import (
    FIXED,
    MISSING,
    OF_FUNCTIONS,
    ORDER,
    Difference,
    Part,
    Whole,
    cells,
    digest_or_none,
    is_a,
    is_dunder,
    is_imported,
    is_leaf,
    is_library_object,
    is_library_type,
    is_namespace,
    is_of_attributes,
    is_of_dlt,
    of_class,
    of_function,
    of_object,
    reader,
)
from pytest_dlthub.templates.digests import PLAIN
from pytest_dlthub.templates.hidden_state import HOLDERS, Tokens, is_used_up, state_of
from pytest_dlthub.templates.part_groups import PartGroup
from pytest_dlthub.templates.process_state import generators
from pytest_dlthub.templates.python_files import is_only_of_tests

# the ways of code to the outside world, in modules that are not watched otherwise
_WAYS_OUT = (
    *("builtins", "csv", "datetime", "http.client", "io", "json", "os", "pathlib", "posixpath"),
    *("random", "shutil", "socket", "subprocess", "time", "urllib.request", "uuid"),
    *("aiohttp", "httpcore", "httpx", "requests", "urllib3"),
)
_OF_DLT = ("dlt.sources.helpers", "dlt.sources.rest_api", "dlt.sources.sql_database")
_NOT_USED = ("_pytest", "dlthub_project", "pluggy", "pytest", "pytest_dlthub", "unittest")
# largest number of modules in a package to watch all; of larger ones, those that code names
_SMALL = 120
# largest number of parts in one name, which may be a long table of constants
_MOST_PARTS = 2000
_DEEPEST_IN_LIBRARY = 3
# largest group that is compared part by part after a change in it
_MOST_IN_GROUP = 100
_CONTAINERS = (dict, list, set, deque)
_AS_ONE = (DltResource, DltSource, SourceFactory)


@dataclass
class Code:
    """The modules of a process that make loads.

    Attributes:
        imports: Notes modules as they were imported.
        tests: The files of collected tests.
        at_start: What was replaced before the first test and has no digest.
    """

    imports: Imports
    tests: Collection[str] = ()
    at_start: list[tuple[str, str]] = field(default_factory=list)
    _seen: dict[str, Any] = field(default_factory=dict)
    _modules: dict[str, ModuleType] = field(default_factory=dict)
    _parts: dict[int, Part] = field(default_factory=dict)
    # modules that own code imports, perhaps later
    _used: set[str] = field(default_factory=set)
    _watched: tuple[Any, ...] = ()
    _groups: list[PartGroup] = field(default_factory=list)
    _alone: list[Part] = field(default_factory=list)
    # states that change with use, such as a generator's: they count for tests that use them
    used_up: dict[str, Tokens] = field(default_factory=dict)

    def begin(self) -> None:
        """Note the modules at the start of tests; what was replaced before stays so."""
        self.imports.at_end(self._forget)
        self._watch()
        self._seen.update(sys.modules)
        found = self.differences()
        self.at_start = [(d.name, d.kind) for d in found if d.digest is None]
        self.accept([d for d in found if d.digest is not None])

    def _forget(self) -> None:
        self._watched = ()
        for held in (self._parts, self._seen, self._modules, self.used_up):
            held.clear()
        for parts in (self._groups, self._alone):
            parts.clear()

    def differences(self) -> list[Difference]:
        """Return the differences to the imported code, also those without a digest."""
        self._watch()
        found = [Difference.of(name, sys.modules.get(name, MISSING)) for name in self._odd()]
        wholes: set[str] = set()
        for part, changes in self._changes():
            if part.whole and part.whole.name in wholes:
                continue
            if part.whole:
                if difference := part.whole.difference():
                    wholes.add(part.whole.name)
                    found.append(difference)
                else:
                    part.note(part.read())
                continue
            for name, old, new in changes:
                if self._is_unread(part, name, old, new):
                    continue
                difference = Difference.of(part.label(name), new)
                if difference.digest is None or difference.digest != digest_or_none(old):
                    found.append(difference)
        return sorted({d.name: d for d in found}.values(), key=lambda d: d.name)

    def _is_unread(self, part: Part, name: Any, old: Any, new: Any) -> bool:
        """Tell whether a name is a plain value of a test module that no load can read."""
        module = self._modules.get(part.name)
        if module is None or part.live is not vars(module):
            return False
        if getattr(module, "__file__", None) not in self.tests:
            return False
        if not {type(old), type(new)} <= {*PLAIN}:
            return False
        modules = [*self._modules.values()]
        files = {getattr(m, "__file__", None) for m in modules if not is_library(m.__name__)}
        others = [file for file in files if file and file != module.__file__]
        return is_only_of_tests(str(name), str(module.__file__), others)

    def states(self) -> dict[str, object]:
        """Return the states that change with use, such as the position of a generator, by name."""
        return {name: tokens()["state"] for name, tokens in self.used_up.items()}

    def accept(self, before: Collection[Difference]) -> None:
        """Take the current objects for the imported ones, since a build sets what code sets lazily.

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
                if name is ORDER:
                    values = {key: values[key] for key in new}
                elif new is MISSING:
                    values.pop(name, None)
                else:
                    values[name] = new
                    self._add(part.label(name), new, is_library=part.is_library)
            part.note(values)
            if part.whole and (whole := Whole.of(part.whole.name, part.whole.value)):
                part.whole.digest = whole.digest
        self._seen.update((n, sys.modules.get(n)) for n in self._odd() if n not in names)
        self._watch()

    def _changes(self) -> list[tuple[Part, list[tuple[Any, Any, Any]]]]:
        """Return the parts with other objects now, with name, old and new value of each."""
        parts = [*self._alone]
        for group in self._groups:
            if not group.is_same():
                parts += group.parts
        found = []
        for part in parts:
            now = part.read()
            if part.is_same(now):
                continue
            if changes := [*part.changes(now)]:
                found.append((part, changes))
            else:
                part.note(now)
        return found

    def _watch(self) -> None:
        """Note the modules that were imported since the last call."""
        if self._is_watched(now := (*sys.modules.values(),)):
            return
        self._watched = now
        seen, modules = self._seen, [*sys.modules.items()]
        new = [(name, m) for name, m in modules if seen.get(name) is not m and is_imported(m)]
        self._seen.update(new)
        for name, module in sorted(new):
            if not is_library(name):
                # it may be a second import: then this notes the new module
                self._watch_own(module)
        self._watch_generators()
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

    def _watch_generators(self) -> None:
        for name, generator in generators().items():
            if name not in self.used_up and (tokens := state_of(generator, is_known=True)):
                self.used_up[name] = tokens

    def _is_watched(self, modules: tuple[Any, ...]) -> bool:
        return len(modules) == len(self._watched) and all(map(is_, modules, self._watched))

    def _odd(self) -> list[str]:
        """Return the names of modules that were not put there by an import."""
        seen = self._seen
        odd = [n for n, m in [*sys.modules.items()] if seen.get(n, MISSING) is not m]
        # C code makes modules inside of its package
        return [n for n in odd if n in seen or not _is_of_library(n)]

    def _watch_own(self, module: ModuleType) -> None:
        name = module.__name__
        self._modules[name] = module
        noted = dict(self.imports.noted(module))
        # by the object, since code may be loaded into it again
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
            if is_a(value, (*_AS_ONE, Schema)):
                self._add(f"{name}.{attribute}", value, is_library=True)
            if isinstance(value, type) and str(value.__module__).partition(".")[0] == top:
                self._class_part(f"{name}.{attribute}", value, is_library=True)

    def _add(self, name: str, value: Any, *, is_library: bool = False) -> None:
        """Note the parts of a value, and the parts of these."""
        queue: deque[tuple[str, Any, int, bool, Whole | None]] = deque()
        queue.append((name, value, 0, is_library, None))
        for _ in range(_MOST_PARTS):
            while queue and (is_leaf(queue[0][1]) or id(queue[0][1]) in self._parts):
                queue.popleft()
            if not queue:
                return
            label, found, depth, of_library, whole = queue.popleft()
            if is_namespace(found):
                # a decorator of dlt keeps it; the module itself is compared
                continue
            if is_a(found, _AS_ONE):
                whole = whole or Whole.of(label, found)
            elif not is_of_dlt(found):
                # dlt notes nothing there during a run, and the digest of the source leaves it out
                whole = None
            is_own, of_library = not of_library, of_library or is_library_object(found)
            if of_library and whole is None and depth > _DEEPEST_IN_LIBRARY:
                continue
            inside = self._inside(label, found, whole, is_own=is_own, is_library=of_library)
            queue.extend((n, v, depth + 1, of_library, whole) for n, v in inside)

    def _inside(
        self, name: str, value: Any, whole: Whole | None, *, is_own: bool, is_library: bool
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
        elif (fixed := FIXED.get(type(value))) is not None:
            # the content goes by the same name
            yield from ((name, getattr(value, attribute)) for attribute in fixed)
            return
        elif isinstance(value, FunctionType):
            if is_library_file(value.__code__.co_filename):
                # a decorator of a library: its closure holds the decorated function
                yield from ((name, content) for content in cells(value).values())
                return
            self._used |= _names_in(value.__code__)
            part = Part(name, functools.partial(of_function, value), function=value)
            part = self._part(id(value), part)
        elif (read := self._read_of(name, value, whole, is_own=is_own)) is not None:
            is_library = is_library and whole is None
            is_container = is_a(value, (*_CONTAINERS, *HOLDERS[2:]))
            part = Part(name, read, is_container, is_library, whole=whole)
            part.is_ordered, part.is_object = is_a(value, (dict,)), True
            if type(value) is dict:
                part.live = value
            elif type(value) in (list, deque):
                part.sequence = value
            elif is_of_attributes(read) and is_library_type(type(value)):
                part.live = read()
            elif is_of_attributes(read):
                part.holder, part.read = value, functools.partial(of_object, value)
            part = self._part(id(value), part)
        else:
            return
        for inner, content in zip(part.names, part.values, strict=True):
            is_of_signature = inner in OF_FUNCTIONS
            if part.is_container or is_of_signature or not is_dunder(inner) or callable(content):
                yield part.label(inner), content

    def _read_of(
        self, name: str, value: Any, whole: Whole | None, *, is_own: bool
    ) -> Callable[[], Mapping[Any, Any]] | None:
        """Return the function that reads the parts of a value; note what else it holds."""
        read = reader(value)
        state = state_of(value, is_known=not is_own or read is not None)
        if state is not None:
            if is_used_up(value):
                shared = any(value is generator for generator in generators().values())
                self.used_up.update({} if shared else {name: state})
                return None
            part = Part(name, state, is_state=True, whole=whole)
            self._part(id(value) if read is None else id(state), part)
            if state.is_all:
                return None
        if type(value).__dictoffset__ and is_a(value, (*_CONTAINERS, *PLAIN)):
            attributes = value.__dict__
            self._part(id(attributes), Part(name, lambda: attributes, live=attributes))
        return read

    def _class_part(self, name: str, owner: type, *, is_library: bool = False) -> Part:
        live = vars(owner)
        part = Part(name, lambda: live, is_library=is_library, owner=owner, live=live)
        if not is_library:
            part.live, part.holder = None, owner
            part.read = functools.partial(of_class, owner)
        return self._part(id(owner), part)

    def _part(self, key: int, part: Part, values: Mapping[Any, Any] | None = None) -> Part:
        # the reader refers to the object, so that no other one gets its id
        if key not in self._parts:
            part.note(part.read() if values is None else values)
            self._parts[key] = part
            together = (part.live, part.sequence, part.function, part.holder)
            if all(map(is_, together, (None,) * 4)):
                self._alone.append(part)
            else:
                if not self._groups or len(self._groups[-1].parts) >= _MOST_IN_GROUP:
                    self._groups.append(PartGroup())
                self._groups[-1].add(part)
        return self._parts[key]


def _is_of_library(name: str) -> bool:
    parent = name.rpartition(".")[0]
    return name.startswith("_cython_") or (parent in sys.modules and is_library(parent))


def _module_of(value: Any) -> set[str]:
    """Return the names of the library modules that define a value of a module."""
    if isinstance(value, ModuleType):
        return {value.__name__, value.__name__.partition(".")[0]}
    owner = value if isinstance(value, type | FunctionType | BuiltinFunctionType) else type(value)
    name = str(getattr(owner, "__module__", None) or "")
    return {name, name.partition(".")[0]} if is_library(name) else set()


@functools.lru_cache(maxsize=8192)
def _names_in(code: CodeType) -> frozenset[str]:
    """Return the names that code uses, including modules that it imports."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return frozenset(code.co_names).union(*map(_names_in, inner))
