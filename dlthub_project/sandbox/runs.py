"""Tells observers of every run in this process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dlt
from dlt.common.pipeline import NormalizeInfo

from dlthub_project.dlt_internals import pipelines
from dlthub_project.errors import ProjectError

_observers: list[Callable[[dlt.Pipeline, Any], None]] = []
_running: list[dlt.Pipeline] = []
_UNTRACED = "_dlthub_untraced"
_NO_USERS = ("contextlib", "dlt", "dlthub_project", "functools", "pytest_dlthub")

FindLosses = Callable[[dlt.Pipeline], Iterable[ProjectError]]
_find_losses: FindLosses | None = None


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
def observed(pipeline: dlt.Pipeline, step: str) -> Iterator[Callable[[Any], None]]:
    """Tell the observers of a run that succeeds.

    `load` within `run` is a part of it, and a `load` after it that finds nothing is no run.

    Args:
        pipeline: The pipeline.
        step: `run` or `load`.
    """
    is_part = pipeline in _running
    _running.append(pipeline)

    def done(info: Any) -> None:
        if not is_part and (step == "run" or info.loads_ids or _worked_before_load(pipeline)):
            for observer in _observers:
                observer(pipeline, info)

    try:
        yield done
    finally:
        _running.remove(pipeline)


def find_losses_with(find: FindLosses) -> None:
    """Have sandboxes warn of what `find` finds in data that a pipeline has extracted."""
    global _find_losses
    _find_losses = find


@contextmanager
def losses_warned_of(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Warn of Arrow data that their tables round or cut: dlt leaves that to the destination.

    Args:
        pipeline: The pipeline; the block normalizes what it has extracted.
    """
    lossy: dict[str, str] = {}
    # most runs need not load pyarrow
    if _find_losses and any(pipelines.extracted_files(pipeline, pipelines.ARROW)):
        lossy.update((error.reason, error.instruction) for error in _find_losses(pipeline))
    yield
    for reason, instruction in lossy.items():
        warnings.warn(f"{reason} {instruction}", stacklevel=_level_of_user())


def _level_of_user() -> int:
    """Return the level, seen from the caller, of the first frame outside of dlt and the harness."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _NO_USERS:
            break
        level, frame = level + 1, frame.f_back
    return level


def remember_untraced(pipeline: dlt.Pipeline, info: NormalizeInfo) -> None:
    """Keep what a pipeline has normalized, if it keeps no trace that would tell."""
    if not pipeline.config.enable_runtime_trace:
        vars(pipeline).setdefault(_UNTRACED, []).append(info)


def untraced_steps(pipeline: dlt.Pipeline) -> list[NormalizeInfo]:
    """Return what a pipeline has normalized without a trace."""
    return list(vars(pipeline).get(_UNTRACED, ()))


def _worked_before_load(pipeline: dlt.Pipeline) -> bool:
    """Tell whether `extract` or `normalize` stands right before the `load` that has just ended."""
    trace = pipeline.last_trace
    steps = [step.step for step in trace.steps] if trace else []
    return steps[-2:-1] in (["extract"], ["normalize"])
