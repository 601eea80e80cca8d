"""Knows for which test a thread, or a process of a pool, works: the one that started its work.

Such work may outlive the test. A process has one run context of dlt, so the work cannot go on in
its own sandbox: it is refused before it uses dlt in the sandbox of another test, or in none.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlthub_project.sandbox import at_import
from dlthub_project.sandbox.settings import (
    Sandbox,
    active_sandbox,
    adopt,
    from_environment,
    has_ended,
)

_OWNER = "_dlthub_owner"
_HANDED = "_dlthub_sandbox"
# the classes of pools, and the methods that give them work
POOLS = {
    "concurrent.futures.thread": ("ThreadPoolExecutor", "submit"),
    "concurrent.futures.process": ("ProcessPoolExecutor", "submit"),
    "multiprocessing.pool": ("Pool", "apply_async", "_map_async", "imap", "imap_unordered"),
}
_installed: set[str] = set()
# the functions to call before a process enters another sandbox
_before_entering: list[Callable[[], None]] = []


class _Thread(threading.local):
    """The present work of this thread.

    Attributes:
        owner: The sandbox of what a pool does here, or of the call of dlt that it is in.
    """

    owner: Sandbox | None = None
    is_in_pool = False


_here = _Thread()


def _owner_of_thread() -> Sandbox | None:
    if _here.owner is not None or _here.is_in_pool:
        return _here.owner
    owner: Sandbox | None = getattr(threading.current_thread(), _OWNER, None)
    return owner


def _owner_of_new_work() -> Sandbox | None:
    return _owner_of_thread() or active_sandbox()


class CallOfDlt:
    """A block in which this thread uses dlt; it does nothing in the main thread of the tests."""

    __slots__ = ("_is_outermost", "_sandbox")

    def __init__(self, sandbox: Sandbox | None) -> None:
        """Take the active sandbox."""
        self._sandbox = sandbox
        self._is_outermost = False

    def __enter__(self) -> None:
        __tracebackhide__ = True
        if threading.current_thread() is threading.main_thread():
            return
        owner = _owner_of_thread()
        if owner is not None and has_ended(owner):
            from dlthub_project.errors import RemoteDestinationBlocked

            raise RemoteDestinationBlocked(
                f"The thread `{threading.current_thread().name}` uses dlt after the test that "
                "started it, or submitted its work, has ended: it would write into the data of "
                "another test.",
                "Wait for it in the test: `thread.join()`, `future.result()`, or a `with` block "
                "around the pool.",
            )
        if _here.owner is None:
            self._is_outermost = True
            _here.owner = owner or self._sandbox

    def __exit__(self, *_: object) -> None:
        if self._is_outermost:
            _here.owner = None


@dataclass
class Work:
    """A function that a pool runs for the sandbox in which it was submitted.

    Attributes:
        function: The function.
        sandbox: That sandbox as an environment variable has it; empty for none.
        process: The process that has submitted it.
        is_of_exceptions: The pool waits for ever where one of its workers ends with anything but
            an `Exception`.
    """

    function: Callable[..., Any]
    sandbox: str
    is_of_exceptions: bool = False
    process: int = field(default_factory=os.getpid)
    imported_by: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # another process imports for itself
        return {**vars(self), "imported_by": None}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        __tracebackhide__ = True
        if os.getpid() != self.process:
            _enter_here(self.sandbox)
            return self._run(*args, **kwargs)
        outer = vars(_here).copy()
        _here.owner = from_environment(self.sandbox) if self.sandbox else None
        _here.is_in_pool = True
        try:
            with at_import.done_for(self.imported_by):
                return self._run(*args, **kwargs)
        finally:
            vars(_here).clear()
            vars(_here).update(outer)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if not self.is_of_exceptions:
            return self.function(*args, **kwargs)
        from dlthub_project.errors import ProjectError, RemoteDestinationBlocked

        try:
            return self.function(*args, **kwargs)
        except RemoteDestinationBlocked as error:
            raise ProjectError(error.reason, error.instruction) from error


def before_entering(begin_anew: Callable[[], None]) -> None:
    """Have a function called before a process enters the sandbox that it is handed."""
    _before_entering.append(begin_anew)


def _submitted(function: Any, *, is_of_exceptions: bool) -> Any:
    if isinstance(function, Work) or not callable(function):
        return function
    sandbox = _owner_of_new_work()
    text = sandbox.to_environment() if sandbox is not None else ""
    return Work(function, text, is_of_exceptions, imported_by=at_import.running_import())


def _enter_here(text: str) -> None:
    """Put this process, which a pool or another process has started, into a sandbox."""
    active = active_sandbox()
    if not text or (active is not None and active.to_environment() == text):
        return
    if active is None or active.folder != from_environment(text).folder:
        for begin_anew in _before_entering:
            begin_anew()
    adopt(from_environment(text))


@dataclass(frozen=True)
class _Handed:
    """The sandbox of a process that is started: it enters it when it unpickles this."""

    sandbox: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.sandbox,)


def _received(text: str) -> _Handed:
    _enter_here(text)
    return _Handed(text)


def note_threads() -> None:
    """Wrap the start of threads, once: it says whose they are."""
    if not _is_first("threading"):
        return
    original = threading.Thread.start

    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        setattr(self, _OWNER, _owner_of_new_work())
        at_import.note_thread(self)
        original(self)

    threading.Thread.start = start  # type: ignore[method-assign]  # as it is done to dlt's


def hand_on_to_pools() -> None:
    """Wrap the pools and processes of Python, as far as they are imported, once each."""
    note_threads()
    for module, (owner, *names) in POOLS.items():
        if module in sys.modules and _is_first(module):
            for name in names:
                _wrap_submit(getattr(sys.modules[module], owner), name, owner == "Pool")
    if "multiprocessing.process" in sys.modules and _is_first("multiprocessing.process"):
        _wrap_start(sys.modules["multiprocessing.process"].BaseProcess)


def _is_first(module: str) -> bool:
    is_first = module not in _installed
    _installed.add(module)
    return is_first


def _wrap_submit(pool: Any, name: str, is_of_exceptions: bool) -> None:
    original = getattr(pool, name)

    @functools.wraps(original)
    def submit(self: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        work = _submitted(function, is_of_exceptions=is_of_exceptions)
        return original(self, work, *args, **kwargs)

    setattr(pool, name, submit)


def _wrap_start(process: Any) -> None:
    original = process.start

    @functools.wraps(original)
    def start(self: Any) -> None:
        sandbox = _owner_of_new_work()
        if sandbox is not None:
            # first: the others import the user's modules
            state = {_HANDED: _Handed(sandbox.to_environment()), **vars(self)}
            vars(self).clear()
            vars(self).update(state)
        original(self)

    process.start = start
