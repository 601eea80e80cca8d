"""Runs one pipeline, with retries and traces, and calls observers at each step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import dlt
from dlt.common import logger
from dlt.common.pipeline import LoadInfo

from dlthub_project.dlt_internals import configuration, pipelines, traces
from dlthub_project.runner.attempts import (
    Attempts,
    MakeData,
    repeatable,
    schema_changes,
    with_packages,
)
from dlthub_project.runner.resume import drop_working_folder, restore
from dlthub_project.runner.retry import checked_steps, retrying
from dlthub_project.runner.traces import MakePipeline, TraceStore, kept_files
from dlthub_project.secrets import KNOWN, hide_in_error

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.pipeline.trace import PipelineStepTrace, PipelineTrace
    from tenacity import Retrying

    from dlthub_project.data_quality import CheckResults


StoreTraceInfo: TypeAlias = "bool | str | dlt.Pipeline | MakePipeline"
RetryPolicy: TypeAlias = "Mapping[str, Any] | Retrying"


_STEPS = ("extract", "normalize", "load")
_OF_STEPS = tuple(f"{when}_{step}" for step in _STEPS for when in ("before", "after"))
METHODS = ("on_before", "on_after", "on_retry", *_OF_STEPS, "on_schema_change", "on_checks")


class PipelineRunner:
    """Runs a pipeline. It first loads the packages that an earlier run left pending."""

    def __init__(
        self,
        pipeline: dlt.Pipeline,
        store_trace_info: StoreTraceInfo = False,
        run_from_clean_folder: bool = False,
        retry_policy: RetryPolicy | None = None,
        retry_pipeline_steps: Sequence[str] | None = None,
        observers: Iterable[object] = (),
    ) -> None:
        """Make the runner; see `runner`."""
        # outside of a project, too
        configuration.register_secrets()
        self.pipeline = pipeline
        self._store_trace_info = store_trace_info
        self._clean = run_from_clean_folder
        self._policy = retry_policy
        self._steps = checked_steps(retry_pipeline_steps)
        self._observers = Observers(pipeline, observers)
        # a wrong policy is an error now, and not after the first failure
        made = retrying(retry_policy, self._steps, lambda *_: None)
        self._loads_again = made is not None and "load" in self._steps

    def run(self, data: Any, **run_arguments: Any) -> LoadInfo:
        """Extract, normalize and load `data`.

        Args:
            data: Whatever `dlt.Pipeline.run` takes.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Returns:
            What was loaded of `data`. Packages that were pending before are not in it.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` raises it; that of the last attempt.
            SourceUsedUp: A retry had to extract again, and the data can be read only once.
        """
        is_rebuilt = self._policy is not None and "extract" in self._steps
        return self.run_made(repeatable(data) if is_rebuilt else lambda: data, **run_arguments)

    def run_made(self, make_data: MakeData, **run_arguments: Any) -> LoadInfo:
        """Extract, normalize and load the data that `make_data` makes anew for each extraction.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` raises it; that of the last attempt.
        """
        prepare = None
        if self._clean:
            target = (run_arguments.get("destination"), run_arguments.get("dataset_name"))
            prepare = partial(restore, self.pipeline, *target)
        attempts = Attempts(self.pipeline, make_data, run_arguments, prepare)

        def run() -> LoadInfo:
            if self._clean:
                with kept_files(self.pipeline):
                    drop_working_folder(self.pipeline)
            return self._run(attempts)

        return self._observed(run)

    def resume(self, before: Collection[str]) -> LoadInfo:
        """Normalize and load what a process that died had extracted; its run ends here.

        Args:
            before: The packages that were there before that run.

        Returns:
            What the run has loaded, in that process and in this one.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.load` raises it; that of the last attempt.
        """
        attempts = Attempts(self.pipeline, lambda: None, {}, is_extracted=True)

        def resume() -> LoadInfo:
            info = self._run(attempts)
            loaded = {*self.pipeline.list_completed_load_packages()}
            return with_packages(self.pipeline, info, loaded.difference(before))

        return self._observed(resume)

    def _observed(self, run: Callable[[], LoadInfo]) -> LoadInfo:
        self._observers.tell("on_before")
        try:
            info = run()
        except BaseException as error:
            hide_in_error(error)
            self._observers.tell("on_after", load_info=None, error=error)
            raise
        finally:
            if KNOWN:
                # dlt#1687: the trace holds texts of failures, and mappings that dlt has looked up
                traces.rewrite_last_trace(self.pipeline, KNOWN.masked_in)
        self._observers.tell("on_after", load_info=info, error=None)
        return info

    def tell_checks(self, results: CheckResults) -> None:
        """Tell the observers what checks have found of what was loaded."""
        self._observers.tell("on_checks", results=results)

    def _run(self, attempts: Attempts) -> LoadInfo:
        stored = self._traces()
        listeners = [self._observers.on_step] if self._observers else []
        if stored:
            listeners.append(stored.on_step)

        def attempt() -> LoadInfo:
            with ExitStack() as stack:
                stack.enter_context(kept_files(self.pipeline))
                if self._loads_again:
                    # dlt must not run the job again: the next attempt removes what it left, first
                    stack.enter_context(pipelines.job_errors_raised_at_once(self.pipeline))
                for listener in listeners:
                    stack.enter_context(pipelines.watched_steps(self.pipeline, listener))
                return attempts()

        def store() -> None:
            if stored:
                stored.store(attempts.number, attempts.started_at)

        # dlt forgets the trace of the pending data when the run starts
        attempts.on_pending = store

        def traced() -> LoadInfo:
            try:
                info = attempt()
            except Exception as error:
                hide_in_error(error)
                store()
                raise
            store()
            return info

        def on_retry(attempt: int, error: BaseException) -> None:
            self._observers.tell("on_retry", attempt=attempt, error=error)

        again = retrying(self._policy, self._steps, on_retry)
        info: LoadInfo = traced() if again is None else again(traced)
        return info

    def _traces(self) -> TraceStore | None:
        named = self._store_trace_info
        if named is False:
            return None
        make: Callable[[], dlt.Pipeline] | None = None
        if isinstance(named, str):
            make = partial(_pipeline_beside, self.pipeline, named)
        elif isinstance(named, dlt.Pipeline):
            make = partial(_itself, named)
        elif callable(named):
            make = named
        return TraceStore(self.pipeline, make)


def runner(
    pipeline: dlt.Pipeline,
    store_trace_info: StoreTraceInfo = False,
    run_from_clean_folder: bool = False,
    retry_policy: RetryPolicy | None = None,
    retry_pipeline_steps: Sequence[str] | None = None,
    observers: Iterable[object] = (),
) -> PipelineRunner:
    """Return a runner for a pipeline that code has made; also found as `dlt.hub.runner`.

    Args:
        pipeline: The pipeline.
        store_trace_info: Whether the trace of each attempt is stored. True: by the pipeline
            `_trace_<pipeline>` on the same destination. A name or a pipeline: by that one.
        run_from_clean_folder: Whether the working folder is dropped before the run, and state and
            schemas are restored from the destination.
        retry_policy: The mapping that `dlt.yml` takes, such as
            `{"type": "backoff", "max_attempts": 5, "min": 1, "max": 10}`, or a `tenacity.Retrying`.
            By default there is one attempt.
        retry_pipeline_steps: The steps that may be retried, of `sync`, `extract`, `normalize` and
            `load`; by default `sync` and `load`.
        observers: Objects that hear of each step; see `Observers`.

    Raises:
        TypeError: The policy is no mapping and no `tenacity.Retrying`, or an observer has none of
            the methods.
        ValueError: There is no such policy or step.
    """
    return PipelineRunner(
        pipeline,
        store_trace_info,
        run_from_clean_folder,
        retry_policy,
        retry_pipeline_steps,
        observers,
    )


def _itself(pipeline: dlt.Pipeline) -> dlt.Pipeline:
    return pipeline


def _pipeline_beside(pipeline: dlt.Pipeline, name: str) -> dlt.Pipeline:
    made: dlt.Pipeline = dlt.pipeline(
        pipeline_name=name,
        pipelines_dir=pipeline.pipelines_dir,
        destination=pipeline.destination,
        staging=pipeline.staging,
    )
    return made


"""The methods that an observer may have."""


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
