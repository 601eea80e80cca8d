"""What travels between a process that wants pipelines to run and those that run them.

A request is small and holds no secret and no dlt object: the worker opens the project itself and
reads its own secrets. A result holds data alone.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.common.pipeline import NormalizeInfo

from dlthub_project.context import find_package, used_context
from dlthub_project.entities import DltEntityFactory
from dlthub_project.entities.entries import pipeline_value
from dlthub_project.errors import LoadFailedChecks, ProjectError
from dlthub_project.runner.attempts import RowCounts, counts_by_package, known_row_counts
from dlthub_project.runner.declared_runs import run_declared
from dlthub_project.runner.locks import turn_at
from dlthub_project.runner.pipeline_results import (
    PipelineResult,
    Status,
    failure_of,
    is_interrupt,
)

if TYPE_CHECKING:
    import dlt
    from dlt.pipeline.trace import PipelineStepTrace

    from dlthub_project.context import Project
    from dlthub_project.data_quality import CheckResult, CheckResults

Tell = Callable[[str, str], None]
"""Hears the name of a pipeline, and the step that it starts."""


@dataclass(frozen=True)
class PipelineRequest:
    """A pipeline to run.

    Attributes:
        id: Tells this request from others. A request that comes a second time, because the worker
            of the first died, finishes what that one began.
        pipeline: The name of the pipeline.
        folder: The folder of the project's `dlt.yml`, as the client sees it.
        package: The installed package that is the project, if it is one.
        profile: The profile.
        turn: The path of a database that takes one writer at a time; None for other destinations.
        arguments: Arguments of `PipelineManager.run_pipeline`.
        client: Host and process of the client.
    """

    id: str
    pipeline: str
    folder: str
    package: str | None
    profile: str
    turn: str | None
    arguments: Mapping[str, Any]
    client: tuple[str, int]

    @property
    def is_of_this_process(self) -> bool:
        """Whether the client is this process."""
        return self.client == this_process()


def this_process() -> tuple[str, int]:
    """Return host and process id."""
    return socket.gethostname(), os.getpid()


def run_request(request: PipelineRequest, tell: Tell | None = None) -> PipelineResult:
    """Run a pipeline in this process, with a context and secrets of this process.

    Returns:
        The result, which also holds errors: nothing is raised, not even a source's `sys.exit()`.
    """
    started = time.monotonic()
    try:
        with _signals_heard(request):
            return _run(request, tell or _tells_nobody)
    except BaseException as error:
        status: Status = "interrupted" if is_interrupt(error) else "failed"
        seconds = time.monotonic() - started
        return PipelineResult(
            request.pipeline, status, error=failure_of(error), seconds=round(seconds, 3)
        )


def _run(request: PipelineRequest, tell: Tell) -> PipelineResult:
    folder = _folder_here(request)
    may_activate = not request.is_of_this_process
    with used_context(str(folder), request.profile, may_activate=may_activate) as context:
        entities = DltEntityFactory(context.project)
        waiting = time.monotonic()
        with _turns(request, context.project):
            started = time.monotonic()
            result = _run_in_turn(request, entities, tell)
            return replace(
                result,
                seconds=round(time.monotonic() - started, 3),
                waited=round(started - waiting, 3),
            )


def _run_in_turn(
    request: PipelineRequest, entities: DltEntityFactory, tell: Tell
) -> PipelineResult:
    pipeline = entities.get_pipeline(
        request.pipeline,
        destination=request.arguments.get("destination"),
        dataset_name=request.arguments.get("dataset_name"),
    )
    record = _Record(Path(entities.project.data_dir), request)
    begun = record.read()
    if begun is not None and begun.result is not None:
        return replace(begun.result, is_resumed=True)
    is_begun = begun is not None and begun.has_extracted(pipeline)
    noted = _Noted(record, begun if begun and is_begun else _Begun.of(request, pipeline))
    checks = _Checks()
    arguments = {
        key: value
        for key, value in request.arguments.items()
        if key not in ("destination", "dataset_name")
    }
    observers = [*arguments.pop("observers", ()), Steps(tell), noted, checks]
    before = noted.begun.before if is_begun else None
    info = None
    with checks.heard():
        info = run_declared(entities, pipeline, observers=observers, before=before, **arguments)
    info = checks.failed.load_info if checks.failed else info
    loaded = PipelineResult(
        pipeline.pipeline_name,
        "loaded",
        info,
        row_counts=known_row_counts(pipeline, info, noted.begun.row_counts),
        is_resumed=begun is not None,
    )
    result = checks.told_in(loaded)
    record.write(replace(noted.begun, result=result))
    return result


class _Noted:
    """An observer that notes what another process cannot know if this one dies."""

    def __init__(self, record: _Record, begun: _Begun) -> None:
        self._record = record
        self.begun = begun
        record.write(begun)

    def after_normalize(self, pipeline: dlt.Pipeline, step: PipelineStepTrace) -> None:
        if isinstance(step.step_info, NormalizeInfo):
            counts = {**self.begun.row_counts, **counts_by_package(step.step_info)}
            self.begun = replace(self.begun, row_counts=counts)
            self._record.write(self.begun)


class _Checks:
    """An observer that keeps what checks have found."""

    def __init__(self) -> None:
        self._found: tuple[CheckResult, ...] = ()
        self.failed: LoadFailedChecks | None = None

    def on_checks(self, pipeline: dlt.Pipeline, results: CheckResults) -> None:
        # samples of rows do not travel
        self._found = tuple(replace(one, samples=(), keys=()) for one in results)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Catch and keep the error of failed checks in a block, because the rows are loaded."""
        try:
            yield
        except LoadFailedChecks as error:
            self.failed = error

    def told_in(self, result: PipelineResult) -> PipelineResult:
        """Return a result with what checks have found."""
        if self.failed is None:
            return replace(result, checks=self._found)
        return replace(
            result,
            status="failed",
            error=failure_of(self.failed),
            checks=self._found,
            is_stopping=self.failed.is_stopping,
        )


class Steps:
    """An observer that tells which step starts."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def before_extract(self, pipeline: dlt.Pipeline) -> None:
        self._tell(pipeline.pipeline_name, "extract")

    def before_normalize(self, pipeline: dlt.Pipeline) -> None:
        self._tell(pipeline.pipeline_name, "normalize")

    def before_load(self, pipeline: dlt.Pipeline) -> None:
        self._tell(pipeline.pipeline_name, "load")


def _tells_nobody(pipeline: str, step: str) -> None:
    pass


@dataclass(frozen=True)
class _Begun:
    """What is known of a request that a worker of this machine has begun.

    Attributes:
        request: Its id.
        before: The load packages that were there before, pending or loaded.
        row_counts: The rows that it has normalized, by load package and table.
        result: Its result; None until there is one.
    """

    request: str
    before: frozenset[str]
    row_counts: Mapping[str, RowCounts] = field(default_factory=dict)
    result: PipelineResult | None = None

    @staticmethod
    def of(request: PipelineRequest, pipeline: dlt.Pipeline) -> _Begun:
        return _Begun(request.id, _packages(pipeline))

    def has_extracted(self, pipeline: dlt.Pipeline) -> bool:
        """Whether the request has extracted all its data already."""
        return bool(_packages(pipeline) - self.before)


def _packages(pipeline: dlt.Pipeline) -> frozenset[str]:
    extracted = pipeline.list_extracted_load_packages()
    normalized = pipeline.list_normalized_load_packages()
    return frozenset((*extracted, *normalized, *pipeline.list_completed_load_packages()))


class _Record:
    """The file that tells a later worker of this machine how far a request came."""

    def __init__(self, data_dir: Path, request: PipelineRequest) -> None:
        name = sha256(request.pipeline.encode()).hexdigest()[:16]
        self._path = data_dir / "requests" / name
        self._id = request.id

    def read(self) -> _Begun | None:
        """Return what is known of the request; None if it is new."""
        try:
            begun: _Begun = pickle.loads(self._path.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError, AttributeError):
            return None
        return begun if begun.request == self._id else None

    def write(self, begun: _Begun) -> None:
        """Replace the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        new.write_bytes(pickle.dumps(begun))
        os.replace(new, self._path)


def _folder_here(request: PipelineRequest) -> Path:
    """Return the folder of the project on this machine.

    Raises:
        ProjectError: Neither the package nor the folder is here.
    """
    if Path(request.folder, "dlt.yml").is_file():
        return Path(request.folder)
    found = find_package(request.package) if request.package else None
    if found is None:
        package = f", and no package `{request.package}` is installed" if request.package else ""
        raise ProjectError(
            f"Worker {socket.gethostname()}: there is no project in {request.folder}{package}.",
            "Put the project into the same folder of each machine, or install it there as a "
            "package.",
        )
    return found


@contextmanager
def _turns(request: PipelineRequest, project: Project) -> Iterator[None]:
    """Wait for the turn at the working folder and at the database; the folder always first."""
    pipelines_dir = pipeline_value(project, request.pipeline, "pipelines_dir")
    folder = os.path.join(pipelines_dir or project.data_dir, "turn_of", request.pipeline)
    with turn_at(folder), turn_at(request.turn) if request.turn else nullcontext():
        yield


@contextmanager
def _signals_heard(request: PipelineRequest) -> Iterator[None]:
    """Let dlt stop at a safe point on Ctrl-C in a block; a worker ignores Ctrl-C otherwise."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
