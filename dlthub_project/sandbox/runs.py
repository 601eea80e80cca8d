"""Sees every run in this process, tells observers, and keeps the runs of a sandbox for reports."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.pipeline import NormalizeInfo

from dlthub_project.dlt_internals import failures, pipelines
from dlthub_project.errors import ProjectError
from dlthub_project.sandbox.run_observers import is_unobserved, tell_observers

if TYPE_CHECKING:
    from dlt.pipeline.trace import PipelineTrace


@dataclass(frozen=True, eq=False)
class EndedRun:
    """A run, or a step outside of one, that has ended in a sandbox, well or not.

    Attributes:
        pipeline: The pipeline.
        step: `run`, or the step that was called alone.
        seconds: How long it took.
        info: What dlt returned; None where there was nothing to do, or where it failed.
        failure: Why it has failed; None if it ended well. The error itself is not kept: its frames
            have connections.
        number: The number of the run, which its error has, too.
        last_trace: dlt's trace as it was then, if it keeps any.
        untraced: What was normalized without a trace.
    """

    pipeline: dlt.Pipeline
    step: str
    seconds: float
    info: Any
    failure: failures.FailedStep | None
    number: int
    last_trace: PipelineTrace | None
    untraced: tuple[NormalizeInfo, ...]

    def has_raised(self, error: BaseException) -> bool:
        """Tell whether an error is the one that the run has ended with."""
        return vars(error).get(_NUMBER) == self.number


_running: list[dlt.Pipeline] = []
_numbers = count()
# by the folder of the sandbox
_ended: dict[str, list[EndedRun]] = {}
_UNTRACED, _NUMBER = "_dlthub_untraced", "_dlthub_run"
_NO_USERS = ("contextlib", "dlt", "dlthub_project", "functools", "pytest_dlthub")

FindLosses = Callable[[dlt.Pipeline], Iterable[ProjectError]]
_find_losses: FindLosses | None = None


@contextmanager
def observed(pipeline: dlt.Pipeline, step: str, folder: str) -> Iterator[Callable[[Any], None]]:
    """Tell the observers of a run that succeeds, and keep any run for the report of a test.

    A step within `run` is a part of it, and a `load` after it that finds nothing is no run.

    Args:
        pipeline: The pipeline.
        step: `run`, `extract`, `normalize` or `load`.
        folder: The sandbox.
    """
    is_part = pipeline in _running
    _running.append(pipeline)
    started = time.perf_counter()

    def keep(info: Any, error: BaseException | None) -> None:
        # now, because the files that tell the cause may be gone later
        failure = None if error is None else failures.failed_step(error, step)
        if is_unobserved():
            return
        trace = pipeline.last_trace
        # dlt adds the steps of later calls to the trace that it has
        copied = trace and trace._replace(steps=list(trace.steps))
        seconds = time.perf_counter() - started
        untraced = tuple(untraced_steps(pipeline))
        number = next(_numbers)
        if error is not None:
            vars(error)[_NUMBER] = number
        ended = EndedRun(pipeline, step, seconds, info, failure, number, copied, untraced)
        _ended.setdefault(folder, []).append(ended)

    ended: list[Any] = []

    def done(info: Any) -> None:
        if is_part or step not in ("run", "load"):
            return
        if step == "run" or info.loads_ids or _worked_before_load(pipeline):
            keep(info, None)
            ended.append(info)

    try:
        yield done
    except BaseException as error:
        if not is_part:
            keep(None, error)
        raise
    finally:
        _running.remove(pipeline)
    # last, because observers read what was loaded, and may run pipelines themselves
    for info in ended:
        tell_observers(pipeline, info)


@contextmanager
def observed_outside(pipeline: dlt.Pipeline, step: str) -> Iterator[Callable[[Any], None]]:
    """Tell the observers of a run outside of sandboxes that succeeds; see `observed`.

    Args:
        pipeline: The pipeline.
        step: `run` or `load`.
    """
    is_part = pipeline in _running
    _running.append(pipeline)
    ended: list[Any] = []
    try:
        yield ended.append
    finally:
        _running.remove(pipeline)
    for info in ended:
        if not is_part and (step == "run" or info.loads_ids or _worked_before_load(pipeline)):
            tell_observers(pipeline, info)


def find_losses_with(find: FindLosses) -> None:
    """Let sandboxes warn of the losses that `find` finds in data that a pipeline has extracted."""
    global _find_losses
    _find_losses = find


@contextmanager
def losses_warned_of(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Warn of Arrow data whose values the tables would round or cut: dlt does not check them.

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


def runs_in(folder: str) -> list[EndedRun]:
    """Return the runs that have ended in a sandbox, those that failed included."""
    return list(_ended.get(folder, ()))


def is_running() -> bool:
    """Tell whether a pipeline runs, or is in one of its steps."""
    return bool(_running)


def add_to_outer(folder: str, outer: str) -> None:
    """Let the runs in one sandbox count as runs in another, around it."""
    there = _ended.setdefault(outer, [])
    there += [run for run in _ended.get(folder, ()) if run not in there]


def forget(folder: str) -> None:
    """Drop what is kept of a sandbox that has ended."""
    _ended.pop(folder, None)


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
