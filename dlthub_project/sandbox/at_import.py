"""Keeps what modules set while they are imported, for all tests of the process.

Python imports a module once, and production does so at its start. So the settings that a module
makes in the environment and in dlt's configuration outlive the test that happens to import it
first. Settings of a test do not. Those that a fixture of wider scope makes in dlt's configuration
last as long as the fixture.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any, Literal

from dlthub_project.sandbox.settings import active_sandbox

# calls below one of these functions do not belong to an import further up
_CALLS_TESTS = ("_pytest.runner", "pytest_dlthub.")
_STARTED_BY = "_dlthub_import"
# dlt looks a place up in sections of destinations, or in none
_OF_PLACES = ("destination", "credentials", "bucket_url")


@dataclass
class Lasting:
    """A fixture of wider scope, whose settings tests have.

    Attributes:
        is_over: It is torn down.
    """

    is_over: bool = False


@dataclass(frozen=True)
class _Change:
    """A setting that a module or a fixture of wider scope has made.

    Attributes:
        module: The module; None if it is unknown, or one of pytest's.
        make: Makes the setting in an environment, or in dlt's providers.
        provider: The provider of dlt that has it.
        may_place: Whether it may say where a destination is.
        is_registration: Whether it adds the provider.
        fixture: The fixture that has made it; None for modules.
    """

    module: ModuleType | None
    make: Callable[[Any], None]
    provider: Any = None
    may_place: bool = False
    is_registration: bool = False
    fixture: Lasting | None = None

    @property
    def holds(self) -> bool:
        """Whether the process has this module: a test may execute one for itself alone."""
        if self.fixture is not None:
            return not self.fixture.is_over
        return self.module is None or sys.modules.get(self.module.__name__) is self.module


_of_environment: list[_Change] = []
_of_dlt: list[_Change] = []
# variables of the process before a test has called `os.putenv`, which only C sees
_before_put: dict[str, str | None] = {}
_is_installed = False
# the fixture of wider scope that is set up at present
_fixture: Lasting | None = None


class _Thread(threading.local):
    # some of dlt's methods call those of their base class
    is_in_dlt = False
    # the import that has given a pool the work of this thread; False if it has no such work
    import_of_work: _Import | Literal[False] | None = False


_thread = _Thread()


@dataclass(frozen=True)
class _Import:
    module: ModuleType | None


def running_import() -> _Import | None:
    """Return the innermost import of this thread; pytest imports test modules in its own way.

    The work of a thread that a module starts while it is imported belongs to that import.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "exec_module" and (reload := _reload_above(frame)):
            # a reload is an act of the test: production imports a module once
            frame = reload
        elif frame.f_code.co_name == "exec_module":
            module = frame.f_locals.get("module")
            # two conftests share a name
            is_known = isinstance(module, ModuleType) and not name.startswith("_pytest.")
            return _Import(module if is_known else None)
        if name.startswith(_CALLS_TESTS):
            return None
        frame = frame.f_back
    if _thread.import_of_work is not False:
        return _thread.import_of_work
    started: _Import | None = getattr(threading.current_thread(), _STARTED_BY, None)
    return started


def note_thread(thread: threading.Thread) -> None:
    """Note the import, if any, that starts a thread."""
    setattr(thread, _STARTED_BY, running_import())


@contextmanager
def done_for(running: _Import | None) -> Iterator[None]:
    """Do, in a block, what a pool was given in an import, or in none."""
    outer, _thread.import_of_work = _thread.import_of_work, running
    try:
        yield
    finally:
        _thread.import_of_work = outer


def _reload_above(frame: FrameType) -> FrameType | None:
    """Return the frame of `importlib.reload` if that executes a module in `frame`."""
    above = frame.f_back
    # importlib's own, and loaders that wrap others
    while above is not None and above.f_code.co_name in ("exec_module", "_exec"):
        above = above.f_back
    if above is None or above.f_code.co_name != "reload":
        return None
    return above if above.f_globals.get("__name__") == "importlib" else None


def is_import_running() -> bool:
    """Tell whether a module is being imported."""
    return running_import() is not None


def count() -> tuple[int, int]:
    """Return how many settings modules have made until now: in the environment, and for dlt."""
    return len(_of_environment), len(_of_dlt)


def forget_since(earlier: tuple[int, int]) -> None:
    """Drop the settings made since `count()` returned `earlier`: a session in this process ends."""
    del _of_environment[earlier[0] :]
    del _of_dlt[earlier[1] :]


def save_environment() -> Callable[[dict[str, str]], None]:
    """Begin to note who sets variables.

    Returns:
        A function to be called at the end. It adds to the earlier environment what modules have
        set since, and restores the variables that only C sees.
    """
    global _before_put
    _wrap_environment()
    mark, outer_put = len(_of_environment), _before_put
    _before_put = {}

    def complete(environment: dict[str, str]) -> None:
        global _before_put
        for change in _of_environment[mark:]:
            if change.holds:
                change.make(environment)
        for name, value in _before_put.items():
            if value is None:
                os.unsetenv(name)
            else:
                os.putenv(name, value)
        _before_put = outer_put

    return complete


def _wrap_environment() -> None:
    """Wrap what every change of the environment goes through, once."""
    global _is_installed
    if _is_installed:
        return
    _is_installed = True
    put, unset, of_mapping = os.putenv, os.unsetenv, type(os.environ)
    set_default = of_mapping.setdefault

    @functools.wraps(put)
    def putenv(name: Any, value: Any) -> None:
        _note_variable(name, os.fsdecode(value))
        put(name, value)

    @functools.wraps(unset)
    def unsetenv(name: Any) -> None:
        _note_variable(name, None)
        unset(name)

    @functools.wraps(set_default)
    def setdefault(self: Any, key: str, value: str) -> str:
        # a test has set the variable, and the process keeps the module's default
        if key in self and active_sandbox() is not None and (running := running_import()):
            _of_environment.append(
                _Change(running.module, lambda variables: variables.setdefault(key, value))
            )
        return str(set_default(self, key, value))

    os.putenv, os.unsetenv = putenv, unsetenv
    # as it is done to dlt's
    of_mapping.setdefault = setdefault  # type: ignore[method-assign]


def _note_variable(name: Any, value: str | None) -> None:
    if active_sandbox() is None:
        return
    key = os.fsdecode(name)
    is_for_c = not isinstance(sys._getframe(2).f_locals.get("self"), type(os.environ))
    running = running_import()
    if running is None:
        if is_for_c:
            _before_put.setdefault(key, _seen_by_c(key))
    elif is_for_c:
        _before_put.pop(key, None)
    elif value is None:
        _of_environment.append(_Change(running.module, lambda variables: variables.pop(key, None)))
    else:
        _of_environment.append(
            _Change(running.module, lambda variables: variables.update({key: value}))
        )


def _seen_by_c(name: str) -> str | None:
    try:
        getenv = ctypes.CDLL(None).getenv
    except (OSError, TypeError, AttributeError):
        # Windows has no such library
        return os.environ.get(name)
    getenv.restype = ctypes.c_char_p
    value: bytes | None = getenv(os.fsencode(name))
    return None if value is None else os.fsdecode(value)


def may_place_destinations() -> bool:
    """Tell whether modules may have said where destinations are: those would be of production."""
    return any(change.may_place and change.holds for change in _of_dlt)


def _note_for_dlt(
    make: Callable[[Any], None],
    provider: Any,
    *,
    may_place: bool,
    is_registration: bool = False,
) -> None:
    if (running := running_import()) is not None:
        _of_dlt.append(_Change(running.module, make, provider, may_place, is_registration))
    elif _fixture is not None:
        # if it names a place, tests have named it
        _of_dlt.append(_Change(None, make, provider, False, is_registration, _fixture))


@contextmanager
def settings_last() -> Iterator[Lasting]:
    """Keep for tests what a block sets in dlt's configuration, until the yielded object is over."""
    global _fixture
    outer, _fixture = _fixture, Lasting()
    try:
        yield _fixture
    finally:
        _fixture = outer


@contextmanager
def _outermost() -> Iterator[bool]:
    is_outermost, _thread.is_in_dlt = not _thread.is_in_dlt, True
    try:
        yield is_outermost
    finally:
        _thread.is_in_dlt = not is_outermost


def set_in_document(
    _sandbox: Any, original: Callable[..., Any], provider: Any, *args: Any, **kw: Any
) -> None:
    """Set a value or a fragment in the document of a provider, as `dlt.config[...] = ...` does."""
    name, method = provider.name, original.__name__
    given = copy.deepcopy((args, kw))

    def make(providers: Any) -> None:
        here = next((one for one in providers.providers if one is provider), None)
        if here is None and name in providers:
            here = providers[name]
        if here is not None:
            arguments, named = copy.deepcopy(given)
            getattr(here, method)(*arguments, **named)

    with _outermost() as is_outermost:
        original(provider, *args, **kw)
        if is_outermost:
            _note_for_dlt(make, provider, may_place=any(word in str(given) for word in _OF_PLACES))


def preserved(
    _sandbox: Any, original: Callable[..., Any], provider: Any
) -> AbstractContextManager[None]:
    """Run a block after which the document of a provider is the one from before."""

    @contextmanager
    def block() -> Iterator[None]:
        before = len(_of_dlt)
        with original(provider):
            try:
                yield
            finally:
                del _of_dlt[before:]

    return block()


def add_provider(
    _sandbox: Any, original: Callable[..., Any], providers: Any, provider: Any
) -> None:
    """Add a provider, as `dlt.config.register_provider` does."""
    make = addition_of(provider)
    with _outermost() as is_outermost:
        original(providers, provider)
        if is_outermost:
            _note_for_dlt(make, provider, may_place=True, is_registration=True)


def addition_of(provider: Any) -> Callable[[Any], None]:
    """Return what adds a provider, with the values that it has now, to those of dlt."""
    from dlthub_project.dlt_internals import configuration

    document = copy.deepcopy(configuration.document_of(provider))

    def make(others: Any) -> None:
        if document is not None:
            # the object belongs to the module, and an earlier test may have set values in it
            configuration.set_document(provider, copy.deepcopy(document))
        if provider.name not in others:
            others.add_provider(provider)

    return make


def note_earlier(make: Callable[[Any], None], provider: Any, path: tuple[str, ...] = ()) -> None:
    """Note what code has done before anybody looked, as if a module had done it at its import.

    Args:
        make: Does it again, in dlt's providers.
        provider: Whose value it has set, or which it has added.
        path: Where the value is; empty for a provider that is added.
    """
    may_place = not path or any(word in path for word in _OF_PLACES)
    _of_dlt.append(_Change(None, make, provider, may_place, is_registration=not path))


def add_extras(_sandbox: Any, original: Callable[..., Any], pluggable: Any) -> None:
    """Complete a run context; the first one of a process or sandbox has what modules have set.

    A further context, to which code switches, lacks it in production, too.
    """
    is_first = not pluggable.extras_added
    original(pluggable)
    if is_first:
        apply_since((0, 0), pluggable.providers)


def apply_since(earlier: tuple[int, int], providers: Any) -> None:
    """Repeat, in dlt's providers, the settings of modules since `count()` was `earlier`.

    A provider that is an object of a module gets all of its settings again: a test may have changed
    them.
    """
    changes = list(_of_dlt)
    registered = [change.provider for change in changes if change.is_registration]
    # dlt may make a context within an import: what is set here must not be noted again
    with _outermost():
        for index, change in enumerate(changes):
            is_of_module = any(change.provider is provider for provider in registered)
            if change.holds and (is_of_module or index >= earlier[1]):
                change.make(providers)
