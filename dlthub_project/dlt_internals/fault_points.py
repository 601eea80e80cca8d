"""Where a run of dlt may break: listeners hear of each place that a run reaches, in any thread.

The wrappers do nothing while nobody listens. They are made with the first listener, and stay: a
sandbox wraps some of the same members, and neither may remove the wrapper of the other.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import dlt
from dlt.common.destination.client import RunnableLoadJob
from dlt.common.storages import LoadStorage
from dlt.common.storages.load_package import PackageStorage, ParsedLoadJobFileName
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.extract.extract import Extract
from dlt.extract.extractors import Extractor
from dlt.load.load import Load
from dlt.normalize.normalize import Normalize

PlaceName = Literal[
    "sync",
    "item written",
    "before package",
    "after package",
    "before normalize",
    "before normalized package",
    "after normalized package",
    "before load",
    "before job",
    "job committed",
    "job is to be marked",
    "job completed",
    "state is next",
    "before entry",
    "after entry",
    "before trace",
]


@dataclass(frozen=True)
class Place:
    """A place that a run has reached.

    Attributes:
        name: Its name.
        pipeline: The name of the pipeline.
        table: The table of the job, if the place is about a job.
        job: The id of the job, which stays the same in a second attempt.
        is_followup: Whether the job moves rows that others have brought to the staging dataset.
        waiting: The tables of unfinished jobs of the package; only few places have them.
    """

    name: PlaceName
    pipeline: str
    table: str | None = None
    job: str | None = None
    is_followup: bool = False
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Startable:
    """The jobs of a package that dlt may start now.

    Attributes:
        pipeline: The name of the pipeline.
        new: The files of the jobs that are not started, with their tables.
        started: Those of the jobs that run.
        state_table: The table of the pipeline's state.
    """

    pipeline: str
    new: dict[str, str]
    started: dict[str, str]
    state_table: str


class Listener(Protocol):
    """Hears of places, in the thread that has reached them; what it raises is raised there."""

    @property
    def awaits_sync(self) -> bool:
        """Whether a run must ask its destination for its state, even if that is new."""

    def reached(self, place: Place) -> None:
        """Hear of a place that a run has reached."""

    def chosen(self, jobs: Startable) -> Sequence[str] | None:
        """Return the files of the jobs to start, at least one if no job runs; None for all."""


_listeners: list[Listener] = []
_lock = threading.Lock()
_installed = False


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener of the places that runs reach in a block."""
    _install()
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def is_sync_awaited() -> bool:
    """Tell whether a listener awaits that a run asks its destination for its state."""
    return any(listener.awaits_sync for listener in _listeners)


def unreachable(client: str, dataset_name: str, reason: str) -> Exception:
    """Return the error that dlt raises when a destination does not answer.

    Args:
        client: The kind of the destination.
        dataset_name: The dataset.
        reason: The message of the destination's driver.
    """
    error = ConnectionError(reason)
    return DestinationConnectionError(client, dataset_name, reason, error)


def _reached(place: Place) -> None:
    for listener in _listeners:
        listener.reached(place)


def _install() -> None:
    global _installed
    with _lock:
        if _installed:
            return
        _installed = True
        _wrap(dlt.Pipeline, "_restore_state_from_destination", _sync)
        _wrap(Extractor, "write_items", _write_items)
        _wrap(Extract, "commit_packages", _commit_packages)
        _wrap(Normalize, "run", _normalize)
        _wrap(LoadStorage, "commit_new_load_package", _commit_normalized)
        _wrap(Load, "load_single_package", _load_package)
        _wrap(Load, "start_new_jobs", _start_new_jobs)
        _wrap(RunnableLoadJob, "run_managed", _run_job)
        _wrap(PackageStorage, "save_pending_transition", _mark_job)
        _wrap(PackageStorage, "complete_job", _complete_job)
        _wrap(Load, "complete_package", _complete_package)
        _wrap(LoadStorage, "complete_load_package", _complete_load_package)
        # the function `dlt.pipeline.pipeline` hides the module
        _wrap(sys.modules[dlt.Pipeline.__module__], "save_trace", _save_trace)


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        if not _listeners:
            return original(*args, **named)
        return wrapper(original, *args, **named)

    setattr(owner, name, wrapped)


def pipeline_of(path: str) -> str:
    """Return the name of the pipeline whose working folder a path of dlt's storages leads into."""
    parts = Path(path).parts
    steps = [i for i, part in enumerate(parts) if part in ("load", "normalize")]
    return parts[steps[-1] - 1] if steps else ""


def _of_storage(packages: PackageStorage) -> str:
    return pipeline_of(packages.storage.storage_path)


def _sync(original: Any, pipeline: dlt.Pipeline, *args: Any, **named: Any) -> Any:
    _reached(Place("sync", pipeline.pipeline_name))
    return original(pipeline, *args, **named)


def _write_items(original: Any, extractor: Any, *args: Any, **named: Any) -> Any:
    outcome = original(extractor, *args, **named)
    _reached(Place("item written", _of_storage(extractor.item_storage.package_storage)))
    return outcome


def _commit_packages(original: Any, extract: Any, *args: Any, **named: Any) -> Any:
    name = _of_storage(extract.extract_storage.new_packages)
    _reached(Place("before package", name))
    outcome = original(extract, *args, **named)
    _reached(Place("after package", name))
    return outcome


def _normalize(original: Any, normalize: Any, *args: Any, **named: Any) -> Any:
    storage = normalize.normalize_storage.extracted_packages
    if storage.list_packages():
        _reached(Place("before normalize", _of_storage(storage)))
    return original(normalize, *args, **named)


def _commit_normalized(original: Any, storage: LoadStorage, *args: Any, **named: Any) -> Any:
    name = _of_storage(storage.normalized_packages)
    _reached(Place("before normalized package", name))
    outcome = original(storage, *args, **named)
    _reached(Place("after normalized package", name))
    return outcome


def _load_package(original: Any, load: Any, *args: Any, **named: Any) -> Any:
    _reached(Place("before load", _of_storage(load.load_storage.normalized_packages)))
    return original(load, *args, **named)


def _start_new_jobs(
    original: Any, load: Any, load_id: str, schema: Any, *args: Any, **named: Any
) -> Any:
    storage, packages = load.load_storage, load.load_storage.normalized_packages
    state_table = str(schema.state_table_name)
    jobs = Startable(
        _of_storage(packages),
        new=_tables(packages.list_new_jobs(load_id)),
        started=_tables(packages.list_started_jobs(load_id)),
        state_table=state_table,
    )
    if jobs.new and not jobs.started and {*jobs.new.values()} == {state_table}:
        _reached(Place("state is next", jobs.pipeline, state_table))
    chosen: set[str] | None = None
    for listener in _listeners:
        files = listener.chosen(jobs)
        if files is not None:
            chosen = {*files} if chosen is None else chosen & {*files}
    if chosen is None:
        return original(load, load_id, schema, *args, **named)
    every = storage.list_new_jobs

    def some(load_id: str) -> list[str]:
        return [path for path in every(load_id) if Path(path).name in chosen]

    # wrapped on this object only, as long as dlt starts jobs
    vars(storage)["list_new_jobs"] = some
    try:
        return original(load, load_id, schema, *args, **named)
    finally:
        del vars(storage)["list_new_jobs"]


def _tables(paths: Sequence[str]) -> dict[str, str]:
    names = [Path(path).name for path in paths]
    return {name: ParsedLoadJobFileName.parse(name).table_name for name in names}


def _of_job(name: PlaceName, pipeline: str, file_name: str, waiting: Any = ()) -> Place:
    parsed = ParsedLoadJobFileName.parse(file_name)
    job = f"{parsed.table_name}.{parsed.file_id}"
    is_followup = parsed.file_format == "sql"
    return Place(name, pipeline, parsed.table_name, job, is_followup, waiting)


def _run_job(original: Any, job: Any, *args: Any, **named: Any) -> Any:
    pipeline, file_name = pipeline_of(job._file_path), job.file_name()
    run = job.run

    def run_told() -> None:
        _reached(_of_job("before job", pipeline, file_name))
        run()
        _reached(_of_job("job committed", pipeline, file_name))

    # wrapped on this job only: each class has a `run` of its own
    vars(job)["run"] = run_told
    try:
        return original(job, *args, **named)
    finally:
        vars(job).pop("run", None)


def _mark_job(
    original: Any, packages: PackageStorage, load_id: str, file_name: str, *args: Any, **named: Any
) -> Any:
    _reached(_of_job("job is to be marked", _of_storage(packages), file_name))
    return original(packages, load_id, file_name, *args, **named)


def _complete_job(
    original: Any, packages: PackageStorage, load_id: str, file_name: str, *args: Any, **named: Any
) -> Any:
    outcome = original(packages, load_id, file_name, *args, **named)
    files = [*packages.list_new_jobs(load_id), *packages.list_started_jobs(load_id)]
    waiting = tuple(_tables(files).values())
    _reached(_of_job("job completed", _of_storage(packages), file_name, waiting))
    return outcome


def _complete_package(original: Any, load: Any, *args: Any, **named: Any) -> Any:
    _reached(Place("before entry", _of_storage(load.load_storage.normalized_packages)))
    return original(load, *args, **named)


def _complete_load_package(original: Any, storage: LoadStorage, *args: Any, **named: Any) -> Any:
    _reached(Place("after entry", _of_storage(storage.normalized_packages)))
    return original(storage, *args, **named)


def _save_trace(original: Any, trace_dir: str, *args: Any, **named: Any) -> Any:
    _reached(Place("before trace", Path(trace_dir).name))
    return original(trace_dir, *args, **named)
