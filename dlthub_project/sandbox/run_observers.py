"""The observers that hear of all runs in this process; this module does not import dlt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt

_observers: list[Callable[[dlt.Pipeline, Any], None]] = []
_unobserved: list[bool] = []


class _Here(threading.local):
    """How many blocks of this thread hide their runs."""

    silent: int = 0


_here = _Here()


@contextmanager
def observe_runs(observer: Callable[[dlt.Pipeline, Any], None]) -> Iterator[None]:
    """Call `observer` with pipeline and load info after every run in this process.

    The load info is None when there was nothing to load.
    """
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


@contextmanager
def unobserved_here() -> Iterator[None]:
    """Hide the runs of a block in this thread, and only those, from all observers."""
    _here.silent += 1
    try:
        yield
    finally:
        _here.silent -= 1


@contextmanager
def unobserved() -> Iterator[None]:
    """Hide the runs of a block from all observers and from reports."""
    observers = list(_observers)
    _observers.clear()
    _unobserved.append(True)
    try:
        yield
    finally:
        _unobserved.pop()
        _observers[:0] = observers


def is_unobserved() -> bool:
    """Tell whether the present block hides its runs from observers."""
    return bool(_unobserved or _here.silent)


def tell_observers(pipeline: dlt.Pipeline, info: Any) -> None:
    """Tell the observers of a run that has ended well."""
    for observer in () if _here.silent else tuple(_observers):
        observer(pipeline, info)
