"""Objects that hear of the steps of a run: observers, and a progress collector that is one, too."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common import logger
from dlt.common.pipeline import LoadInfo

from dlthub_project.dlt_internals.pipelines import LogCollector
from dlthub_project.runner.attempts import schema_changes

if TYPE_CHECKING:
    from dlt.pipeline.trace import PipelineStepTrace, PipelineTrace

_STEPS = ("extract", "normalize", "load")
_OF_STEPS = tuple(f"{when}_{step}" for step in _STEPS for when in ("before", "after"))
METHODS = ("on_before", "on_after", "on_retry", *_OF_STEPS, "on_schema_change", "on_checks")
"""The methods that an observer may have."""

# for each method, the forms in which it may be called, the one with most arguments first
_FORMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "on_before": ((),),
    "on_after": (("load_info", "error"), ("load_info",), ()),
    "on_retry": (("attempt", "error"), ("attempt",), ()),
    "on_checks": (("results",), ()),
    "on_schema_change": (("trace", "schema_name", "changes"), ("changes",), ()),
    **{f"before_{step}": (("trace",), ()) for step in _STEPS},
    **{f"after_{step}": (("step",), ("trace",), ()) for step in _STEPS},
}
_NAMES = {"pipeline", *(name for forms in _FORMS.values() for form in forms for name in form)}


class Observers:
    """The observers of one pipeline's runs. An error that an observer raises is logged.

    An observer is any object with some of these methods:

    - `on_before(pipeline)`: before the run, once for all its attempts.
    - `on_after(pipeline, load_info, error)`: after the run; either `load_info` or `error` is None.
    - `on_retry(pipeline, attempt, error)`: an attempt failed, and another one will follow.
    - `before_extract(pipeline, trace)`, `before_normalize`, `before_load`: `trace` is dlt's
      `PipelineTrace`.
    - `after_extract(pipeline, step)`, `after_normalize`, `after_load`: `step` is dlt's
      `PipelineStepTrace`, with `step_info` and, where it failed, `step_exception`.
    - `on_schema_change(pipeline, trace, schema_name, changes)`: a load added columns to tables of
      a schema; `changes` lists them by table. `on_schema_change(pipeline, changes)` is called once
      for all schemas.
    - `on_checks(pipeline, results)`: what was loaded was checked, after the run of a pipeline of
      `dlt.yml`; `results` are `CheckResults`.

    Each may take fewer arguments than these, from the left.
    """

    def __init__(self, pipeline: dlt.Pipeline, observers: Iterable[object]) -> None:
        """Collect the observers; the pipeline's progress collector may be one, too.

        Raises:
            TypeError: An object has none of the methods, or one that takes other arguments.
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
        self._forms = {
            (id(observer), method): _form_of(observer, method)
            for observer in self._observers
            for method in METHODS
            if getattr(observer, method, None) is not None
        }

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, method: str, **told: Any) -> None:
        """Call a method on every observer that has it, with what it takes of `told`."""
        self._tell(method, told, _FORMS[method])

    def _tell(self, method: str, told: Mapping[str, Any], forms: Iterable[Any]) -> None:
        for observer in self._observers:
            form, is_by_name = self._forms.get((id(observer), method), (None, False))
            if form is None or form not in forms:
                continue
            own = {name: told[name] for name in form}
            positional, named = ((), own) if is_by_name else (own.values(), {})
            try:
                getattr(observer, method)(self._pipeline, *positional, **named)
            except Exception:
                kind = type(observer).__name__
                logger.warning(
                    f"{method} of observer {kind} failed; pipeline "
                    f"{self._pipeline.pipeline_name} goes on",
                    exc_info=True,
                )

    def on_step(self, step: str, ended: PipelineStepTrace | None, trace: PipelineTrace) -> None:
        """Tell the observers that a step starts (`ended` is None) or has ended."""
        if step not in _STEPS:
            return
        if ended is None:
            self.tell(f"before_{step}", trace=trace)
            return
        self.tell(f"after_{step}", step=ended, trace=trace)
        info = ended.step_info
        if step == "load" and ended.step_exception is None and isinstance(info, LoadInfo):
            self._tell_changes(info, trace)

    def _tell_changes(self, info: LoadInfo, trace: PipelineTrace) -> None:
        by_schema, *of_all = _FORMS["on_schema_change"]
        if changes := schema_changes(info):
            self._tell("on_schema_change", {"changes": changes}, of_all)
        for name in dict.fromkeys(package.schema_name for package in info.load_packages):
            packages = [package for package in info.load_packages if package.schema_name == name]
            if changes := schema_changes(info._replace(load_packages=packages)):
                told = {"trace": trace, "schema_name": name, "changes": changes}
                self._tell("on_schema_change", told, [by_schema])


def _form_of(observer: object, method: str) -> tuple[tuple[str, ...], bool]:
    """Return the arguments of a method of an observer, beside the pipeline, and whether by name.

    Arguments are given by name to a method that takes them so: `**told`, or `*, changes`.

    Raises:
        TypeError: It cannot be called in any of the forms.
    """
    forms = _FORMS[method]
    try:
        takes = inspect.signature(getattr(observer, method))
    except ValueError:
        # Python does not know the parameters of some builtins
        return forms[0], False
    by_name = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    is_by_name = any(one.kind in by_name for one in takes.parameters.values())
    own = [name for name, one in takes.parameters.items() if one.kind is not one.VAR_POSITIONAL]
    for form in forms:
        given = ("pipeline", *form)
        named_otherwise = not is_by_name and any(
            name in _NAMES and name != ours for name, ours in zip(own, given, strict=False)
        )
        with suppress(TypeError):
            positional, named = (("pipeline",), form) if is_by_name else (given, ())
            takes.bind(*positional, **dict.fromkeys(named))
            if not named_otherwise:
                return form, is_by_name
    expected = " or ".join(f"({', '.join(('pipeline', *form))})" for form in forms)
    raise TypeError(
        f"observers: {method}{takes} of {type(observer).__name__} cannot be called with what it is "
        f"told: {expected}"
    )


def _is_observer(value: object) -> bool:
    return any(callable(getattr(value, method, None)) for method in METHODS)


class PlusLogCollector(LogCollector):
    """Logs progress as `dlt.progress.log` does, and hears of each step of a run.

    Subclasses override the methods that they need; `Observers` says when each is called, and with
    what. Hand one over as `dlt.pipeline(..., progress=PlusLogCollector())`. The runner calls the
    methods, `dlt.hub.runner(pipeline)` or that of a project; plain `pipeline.run` calls none of
    them. An error in a method is logged, and the run goes on.
    """

    def on_before(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before the first attempt."""

    def on_after(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After the last attempt: with what was loaded, and the error; one of the two is None."""

    def on_retry(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """An attempt has failed, and another will follow: with its number and the error."""

    def before_extract(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before an attempt extracts."""

    def after_extract(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After it has extracted, or has failed to."""

    def before_normalize(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before an attempt normalizes."""

    def after_normalize(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After it has normalized, or has failed to."""

    def before_load(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before an attempt loads."""

    def after_load(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After it has loaded, or has failed to."""

    def on_schema_change(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """A load has added columns: with the trace, the name of a schema, and the changes."""

    def on_checks(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """What was loaded was checked: with what the checks have found."""
