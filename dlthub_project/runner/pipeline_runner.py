"""Runs one pipeline, with retries and traces, and calls observers at each step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import dlt
from dlt.common.pipeline import LoadInfo

from dlthub_project.dlt_internals import configuration, files_of_runs, pipelines
from dlthub_project.runner.attempts import (
    Attempts,
    MakeData,
    repeatable,
    with_packages,
)
from dlthub_project.runner.observers import Observers
from dlthub_project.runner.resume import drop_working_folder, restore
from dlthub_project.runner.retry import checked_steps, retrying
from dlthub_project.runner.traces import MakePipeline, TraceStore, kept_files
from dlthub_project.secrets import KNOWN, hide_in_error

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from tenacity import Retrying

    from dlthub_project.data_quality import CheckResults


StoreTraceInfo: TypeAlias = "bool | str | dlt.Pipeline | MakePipeline"
RetryPolicy: TypeAlias = "Mapping[str, Any] | Retrying"


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
                files_of_runs.rewrite_last_trace(self.pipeline, KNOWN.masked_in)
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
