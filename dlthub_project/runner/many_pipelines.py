"""Runs many pipelines at once: in processes of this machine, in threads, or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from dlthub_project.context import installed_packages
from dlthub_project.dlt_internals import contexts
from dlthub_project.entities import DltEntityFactory, check_is_active
from dlthub_project.entities.destination_places import Storage
from dlthub_project.errors import ProjectError
from dlthub_project.runner.pipeline_order import PlannedPipeline, planned
from dlthub_project.runner.pipeline_requests import PipelineRequest, run_request, this_process
from dlthub_project.runner.pipeline_results import (
    PipelineFailure,
    PipelineResult,
    PipelineResults,
    PipelinesInterrupted,
    failure_of,
)
from dlthub_project.runner.worker_processes import WorkerProcesses
from dlthub_project.sandbox import active_sandbox

# the requests that an executor has at one time if its number of workers is unknown: enough to
# choose from
_MOST_IN_FLIGHT = 128
# how many workers may die with one request
_MOST_DEATHS = 2
# how long to wait until the next look for a signal, in seconds
_PATIENCE = 0.2
_OF_THIS_MACHINE = (ThreadPoolExecutor, ProcessPoolExecutor, WorkerProcesses)
_LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class PipelineEvent:
    """Something that happened while many pipelines run.

    Attributes:
        pipeline: The pipeline.
        step: `started`, `extract`, `normalize`, `load`, or `done`. A worker on another machine
            tells no step.
        result: The result; None before it is done.
    """

    pipeline: str
    step: str
    result: PipelineResult | None = None


Hear = Callable[[PipelineEvent], None]


def run_many(
    entities: DltEntityFactory,
    names: Sequence[str],
    *,
    max_workers: int | None = None,
    executor: Executor | None = None,
    fail_fast: bool = False,
    hear: Hear | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> PipelineResults:
    """Run pipelines; see `PipelineManager.run_pipelines`."""
    if max_workers is not None and max_workers < 1:
        raise ValueError(f"max_workers: at least 1 is expected, not {max_workers}")
    check_is_active(entities.project)
    pipelines = planned(entities, names)
    if executor is not None:
        _check_reach(pipelines, executor)
    hear = hear or (lambda _: None)
    workers = max_workers or _useful_workers(pipelines)
    own = None
    if executor is None and (active_sandbox() or workers == 1 or len(pipelines) == 1):
        executor, max_workers = _InThisThread(hear), 1
    elif executor is None:
        executor = own = WorkerProcesses(
            workers, lambda name, step: hear(PipelineEvent(name, step))
        )
        max_workers = workers
    schedule = _Schedule(
        entities, pipelines, executor, max_workers or _MOST_IN_FLIGHT, fail_fast, hear, arguments
    )
    try:
        with contexts.signals_collected() as was_signalled:
            schedule.run(was_signalled)
    except KeyboardInterrupt:
        if own is not None:
            own.kill()
        raise
    finally:
        if own is not None:
            own.shutdown()
    results = PipelineResults({name: schedule.results[name] for name in names})
    if schedule.is_interrupted:
        raise PipelinesInterrupted(results)
    return results


class _Schedule:
    """Starts each pipeline when those that it waits for are done."""

    def __init__(
        self,
        entities: DltEntityFactory,
        pipelines: Sequence[PlannedPipeline],
        executor: Executor,
        most_in_flight: int,
        fail_fast: bool,
        hear: Hear,
        arguments: Mapping[str, Any] | None,
    ) -> None:
        self.results: dict[str, PipelineResult] = {}
        self.is_interrupted = False
        self._entities = entities
        self._waiting = {one.name: one for one in pipelines}
        self._executor = executor
        self._most = most_in_flight
        self._fail_fast = fail_fast
        self._hear = hear
        self._arguments = dict(arguments or {})
        self._package = _package_of(entities.project.root_dir)
        self._running: dict[Future[PipelineResult], tuple[PlannedPipeline, PipelineRequest]] = {}
        # requests that ran when a worker died, in it or beside it; each of them runs alone
        self._suspects: list[tuple[PlannedPipeline, PipelineRequest]] = []
        self._deaths: dict[str, int] = {}
        self._datasets = _Datasets(entities, pipelines)

    def run(self, was_signalled: Callable[[], bool]) -> None:
        """Run until nothing waits and nothing runs."""
        while self._waiting or self._running or self._suspects:
            if was_signalled() and not self.is_interrupted:
                self._interrupt()
            self._start_what_can()
            if self._running:
                done, _ = wait(self._running, _PATIENCE, FIRST_COMPLETED)
                for future in done:
                    self._take(future)

    def _start_what_can(self) -> None:
        if self._suspects:
            if not self._running:
                self._submit(*self._suspects.pop(0))
            return
        for name, one in list(self._waiting.items()):
            if len(self._running) >= self._most:
                return
            missing = [need for need in one.needs if not self._is_loaded(need)]
            lost = [need for need in missing if need in self.results]
            if lost:
                del self._waiting[name]
                self._end(_skipped(name, f"{lost[0]} has not loaded; {one.needs[lost[0]]}"))
            elif not missing and self._has_turn(one):
                del self._waiting[name]
                self._hear(PipelineEvent(name, "started"))
                self._submit(one, self._request(one))

    def _is_loaded(self, pipeline: str) -> bool:
        return pipeline in self.results and self.results[pipeline].has_loaded

    def _has_turn(self, one: PlannedPipeline) -> bool:
        running = [other for other, _ in self._running.values()]
        if one.turn is not None:
            return all(other.turn != one.turn for other in running)
        return self._datasets.may_start(one, running)

    def _request(self, one: PlannedPipeline) -> PipelineRequest:
        project = self._entities.project
        return PipelineRequest(
            id=uuid4().hex,
            pipeline=one.name,
            folder=project.root_dir,
            package=self._package,
            profile=project.current_profile,
            turn=one.turn,
            arguments=self._arguments,
            client=this_process(),
        )

    def _submit(self, one: PlannedPipeline, request: PipelineRequest) -> None:
        try:
            future = self._executor.submit(run_request, request)
        except Exception as error:
            # the executor is shut down or broken
            self._end(_lost(one.name, error))
            return
        self._running[future] = one, request

    def _take(self, future: Future[PipelineResult]) -> None:
        one, request = self._running.pop(future)
        try:
            result = future.result()
        except CancelledError:
            self._end(_skipped(one.name, "the run was stopped before it started"))
            return
        except BrokenExecutor as error:
            self._deaths[one.name] = self._deaths.get(one.name, 0) + 1
            may_go_on = isinstance(self._executor, WorkerProcesses) and not self.is_interrupted
            if may_go_on and self._deaths[one.name] <= _MOST_DEATHS:
                self._suspects.append((one, request))
            else:
                self._end(_lost(one.name, error))
            return
        except Exception as error:
            # a worker of a cluster died more often than the cluster allows, or nothing came through
            self._end(_lost(one.name, error))
            return
        self._datasets.ended(one, result)
        self._end(result)

    def _end(self, result: PipelineResult) -> None:
        self.results[result.pipeline] = result
        self._hear(PipelineEvent(result.pipeline, "done", result))
        if result.is_stopping:
            self._stop(f"{result.pipeline} has failed checks (on_failed_check: stop)")
        elif self._fail_fast and result.status == "failed":
            self._stop(f"{result.pipeline} has failed (fail_fast)")

    def _interrupt(self) -> None:
        self.is_interrupted = True
        if isinstance(self._executor, WorkerProcesses):
            self._executor.interrupt()
        self._stop("the run was interrupted before it started")

    def _stop(self, reason: str) -> None:
        """Start no other pipeline; what runs may end."""
        waiting = [*self._waiting, *(one.name for one, _ in self._suspects)]
        self._waiting.clear()
        self._suspects.clear()
        for future in self._running:
            future.cancel()
        for name in waiting:
            self.results[name] = _skipped(name, reason)
            self._hear(PipelineEvent(name, "done", self.results[name]))


class _Datasets:
    """Lets only one pipeline at a time make a dataset that several load, if it does not exist yet.

    Two pipelines that make the same dataset and tables at once get in each other's way.
    """

    def __init__(self, entities: DltEntityFactory, pipelines: Sequence[PlannedPipeline]) -> None:
        self._entities = entities
        keys = [_key(one) for one in pipelines if one.turn is None]
        self._is_made: dict[tuple[Storage, str], bool | None] = {
            key: None for key in keys if keys.count(key) > 1
        }

    def may_start(self, one: PlannedPipeline, running: Sequence[PlannedPipeline]) -> bool:
        """Whether no other pipeline is making the dataset right now."""
        key = _key(one)
        if key not in self._is_made:
            return True
        if self._is_made[key] is None:
            self._is_made[key] = self._exists(one)
        return bool(self._is_made[key]) or all(_key(other) != key for other in running)

    def ended(self, one: PlannedPipeline, result: PipelineResult) -> None:
        """Hear that a pipeline has ended."""
        if result.has_loaded and _key(one) in self._is_made:
            self._is_made[_key(one)] = True

    def _exists(self, one: PlannedPipeline) -> bool:
        try:
            pipeline = self._entities.get_pipeline(one.name)
            with pipeline.destination_client() as client:
                return client.is_storage_initialized()
        except Exception:
            # the run will raise the error; until then the dataset counts as not made
            return False


def _key(one: PlannedPipeline) -> tuple[Storage, str]:
    return one.storage, one.dataset_name


class _InThisThread(Executor):
    """Runs each request when it is submitted."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(fn(*args, self._tell, **kwargs))
        return future

    def _tell(self, pipeline: str, step: str) -> None:
        self._hear(PipelineEvent(pipeline, step))


def _check_reach(pipelines: Sequence[PlannedPipeline], executor: Executor) -> None:
    """Refuse an executor whose workers may not see the files that pipelines write to.

    Raises:
        ProjectError: A destination is in files of this machine, and workers may be on others.
    """
    local = next((one for one in pipelines if one.storage.kind != "remote"), None)
    if local is None or _is_of_this_machine(executor):
        return
    kind = type(executor).__name__
    raise ProjectError(
        f"Pipeline `{local.name}` writes to {local.storage.place}, and workers of {kind} may be on "
        "other machines: each would write a file of its own.",
        "Give it a destination that all machines reach (a database server, a bucket), or run it "
        "without `executor`.",
    )


def _is_of_this_machine(executor: Executor) -> bool:
    if isinstance(executor, _OF_THIS_MACHINE):
        return True
    if "loky" in type(executor).__module__:
        return True
    if not type(executor).__module__.startswith("distributed."):
        return False
    addresses = executor.submit(_addresses_of_cluster).result()
    return bool(addresses) and all(
        address.startswith("inproc://") or address.partition("://")[2].startswith(_LOOPBACK)
        for address in addresses
    )


def _addresses_of_cluster() -> list[str]:
    """Return the addresses of all workers of the Dask cluster that this process is a worker of."""
    from distributed import get_client

    client: Any = get_client()
    return [str(address) for address in client.nthreads()]


def _useful_workers(pipelines: Sequence[PlannedPipeline]) -> int:
    turns = [one.turn for one in pipelines]
    side_by_side = turns.count(None) + len({turn for turn in turns if turn is not None})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, side_by_side))


def _package_of(folder: str) -> str | None:
    packages = installed_packages().items()
    return next((name for name, path in packages if os.path.samefile(path, folder)), None)


def _skipped(pipeline: str, reason: str) -> PipelineResult:
    return PipelineResult(pipeline, "skipped", error=PipelineFailure("", reason))


def _lost(pipeline: str, error: BaseException) -> PipelineResult:
    failure = failure_of(error)
    message = f"its worker died or could not be reached: {failure.message}"
    return PipelineResult(pipeline, "failed", error=replace(failure, message=message))
