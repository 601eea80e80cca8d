"""Calls observers at each step of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dlt.common import logger
from dlt.common.pipeline import LoadInfo

from dlthub_project.runner.attempts import schema_changes

if TYPE_CHECKING:
    import dlt
    from dlt.pipeline.trace import PipelineStepTrace

_STEPS = ("extract", "normalize", "load")
_OF_STEPS = tuple(f"{when}_{step}" for step in _STEPS for when in ("before", "after"))
METHODS = ("on_before", "on_after", "on_retry", *_OF_STEPS, "on_schema_change")
"""The methods that an observer may have."""


class Observers:
    """The observers of one pipeline's runs. An error that an observer raises is logged.

    An observer is any object with some of these methods:

    - `on_before(pipeline)`: before the run, once for all its attempts.
    - `on_after(pipeline, load_info, error)`: after the run; either `load_info` or `error` is None.
    - `on_retry(pipeline, attempt, error)`: an attempt failed, and another one will follow.
    - `before_extract(pipeline)`, `before_normalize`, `before_load`.
    - `after_extract(pipeline, step)`, `after_normalize`, `after_load`: `step` is dlt's
      `PipelineStepTrace`, with `step_info` and, where it failed, `step_exception`.
    - `on_schema_change(pipeline, changes)`: a load added columns; `changes` lists them by table.
    """

    def __init__(self, pipeline: dlt.Pipeline, observers: Iterable[object]) -> None:
        """Collect the observers; the pipeline's progress collector may be one, too.

        Raises:
            TypeError: An object has none of the methods.
        """
        self._pipeline = pipeline
        self._observers = list(observers)
        for observer in self._observers:
            if not _is_observer(observer):
                kind = type(observer).__name__
                raise TypeError(f"observers: {kind} has none of {', '.join(METHODS)}")
        collector = pipeline.collector
        if _is_observer(collector) and not any(o is collector for o in self._observers):
            self._observers.append(collector)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, method: str, *arguments: Any) -> None:
        """Call a method, with the pipeline and `arguments`, on every observer that has it."""
        for observer in self._observers:
            function = getattr(observer, method, None)
            if function is None:
                continue
            try:
                function(self._pipeline, *arguments)
            except Exception:
                kind = type(observer).__name__
                logger.warning(
                    f"{method} of observer {kind} failed; pipeline "
                    f"{self._pipeline.pipeline_name} goes on",
                    exc_info=True,
                )

    def on_step(self, step: str, trace: PipelineStepTrace | None) -> None:
        """Tell the observers that a step starts (`trace` is None) or has ended."""
        if step not in _STEPS:
            return
        if trace is None:
            self.tell(f"before_{step}")
            return
        self.tell(f"after_{step}", trace)
        if step == "load" and trace.step_exception is None:
            info = trace.step_info
            changes = schema_changes(info) if isinstance(info, LoadInfo) else {}
            if changes:
                self.tell("on_schema_change", changes)


def _is_observer(value: object) -> bool:
    return any(callable(getattr(value, method, None)) for method in METHODS)
