"""dlt's progress collectors, which are told of each step of a run, and what was looked up in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dlt
from dlt.common.configuration.specs.base_configuration import is_secret_hint
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.runtime.collector_base import Collector

OnStep = Callable[[str, Any], None]
"""Is told the name of a step and, when it has ended, its trace; None when it starts."""


class _Watching(Collector):
    """Passes all on to another collector, and tells of the steps."""

    def __init__(self, watched: Collector, on_step: OnStep) -> None:
        self.watched = watched
        self.on_step = on_step

    def __call__(self, step: str) -> Any:
        return self.watched(step)

    def __getattr__(self, name: str) -> Any:
        if name == "watched":
            raise AttributeError(name)
        return getattr(self.watched, name)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.watched.update(*args, **kwargs)

    def _start(self, step: str) -> None:
        self.watched._start(step)

    def _stop(self) -> None:
        self.watched._stop()

    def on_start_trace(self, *args: Any) -> None:
        self.watched.on_start_trace(*args)

    def on_start_trace_step(self, trace: Any, step: Any, pipeline: Any) -> None:
        self.on_step(step, None)
        self.watched.on_start_trace_step(trace, step, pipeline)

    def on_end_trace_step(self, trace: Any, step: Any, *args: Any) -> None:
        self.on_step(step.step, step)
        self.watched.on_end_trace_step(trace, step, *args)

    def on_end_trace(self, *args: Any) -> None:
        self.watched.on_end_trace(*args)


@contextmanager
def watched_steps(pipeline: dlt.Pipeline, on_step: OnStep) -> Iterator[None]:
    """Call `on_step` at the start and the end of each step of `pipeline` in a block."""
    original = pipeline.collector
    pipeline.collector = _Watching(original, on_step)
    try:
        yield
    finally:
        pipeline.collector = original


def looked_up_values() -> Iterator[tuple[str, Any, bool, str]]:
    """Yield what dlt has looked up for the step that ends: key, value, is a secret, provider."""
    for look_up in get_resolved_traces().resolved_traces:
        yield look_up.key, look_up.value, is_secret_hint(look_up.hint), look_up.provider_name
