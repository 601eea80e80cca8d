"""Who is told of the runs of pipelines in this process; known before dlt is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt

_observers: list[Callable[[dlt.Pipeline, Any], None]] = []
_unobserved: list[bool] = []


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
def unobserved() -> Iterator[None]:
    """Keep the runs of a block from all observers, and out of reports."""
    observers = list(_observers)
    _observers.clear()
    _unobserved.append(True)
    try:
        yield
    finally:
        _unobserved.pop()
        _observers[:0] = observers


def is_unobserved() -> bool:
    """Tell whether the block that runs now keeps its runs from observers."""
    return bool(_unobserved)


def tell_observers(pipeline: dlt.Pipeline, info: Any) -> None:
    """Tell them of a run that has ended well."""
    for observer in _observers:
        observer(pipeline, info)
