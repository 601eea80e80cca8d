"""Tells observers of every run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dlt

_observers: list[Callable[[dlt.Pipeline, Any], None]] = []
_running: list[dlt.Pipeline] = []


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
    """Keep the runs of a block from all observers."""
    observers = list(_observers)
    _observers.clear()
    try:
        yield
    finally:
        _observers[:0] = observers


@contextmanager
def observed(pipeline: dlt.Pipeline) -> Iterator[Callable[[Any], None]]:
    """Tell the observers of a run that succeeds; `load` within `run` is a part of it."""
    is_part = pipeline in _running
    _running.append(pipeline)

    def done(info: Any) -> None:
        if not is_part:
            for observer in _observers:
                observer(pipeline, info)

    try:
        yield done
    finally:
        _running.remove(pipeline)
