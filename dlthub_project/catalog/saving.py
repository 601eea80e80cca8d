"""One save: a pipeline of its own that changes a dataset as a whole, or leaves it as it was.

One save at a time writes to one database file or dataset of a machine: threads and processes of
one user wait for each other, whichever project they belong to. They lock a file in a folder of
that user.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dlt
from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.catalog import journals, transactions
from dlthub_project.catalog.schemas import stored_schemas
from dlthub_project.dlt_internals import contexts, datasets, destinations, pipelines
from dlthub_project.errors import DatasetInUse, ProjectError
from dlthub_project.runner import PipelineRunner
from dlthub_project.runner.locks import folder_of_locks

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.pipeline import LoadInfo
    from filelock import FileLock


# a save cannot choose another dataset, destination or schema
_REFUSED_ARGUMENTS = ("destination", "staging", "dataset_name", "credentials", "schema")


# by the thread that waits or saves, and by the key of the queue; a thread of dlt's pools counts as
# the thread that started it
_held: dict[tuple[int, str], FileLock] = {}


def refuse_other_targets(run_arguments: dict[str, Any]) -> None:
    """Refuse arguments that would make a save write to another dataset.

    Raises:
        ProjectError: There is such an argument.
    """
    for name in _REFUSED_ARGUMENTS:
        if name in run_arguments:
            raise ProjectError(
                f"save() writes to the dataset that it is called on, and takes no `{name}`.",
                "Open the other dataset: catalog.dataset(name, destination).save(...), or run a "
                "pipeline.",
            )


class Save:
    """Writes to one dataset.

    Attributes:
        schemas: The schemas of the dataset as they are now, the default one first.
    """

    def __init__(self, pipeline: journals.AtomicPipeline, schemas: Sequence[Schema]) -> None:
        self._pipeline = pipeline
        # without any, the save makes the dataset
        self.schemas = list(schemas) or [first_schema(pipeline.dataset_name)]

    def run(self, table: str, rows: Any, **run_arguments: Any) -> LoadInfo:
        """Load `rows` with the schema that has `table`; a new table goes into the default schema.

        Raises:
            DatasetInUse: Somebody else writes to the dataset at the same time.
            PipelineStepFailed: As `dlt.Pipeline.run` raises it.
        """
        having = (schema for schema in self.schemas if table in schema.tables)
        schema = next(having, self.schemas[0]).clone()
        run_arguments.setdefault(
            "loader_file_format", datasets.file_format_there(self._pipeline, schema, table)
        )
        self._pipeline.stored = self.schemas
        with contexts.no_active_pipeline():
            info = PipelineRunner(self._pipeline).run(rows, schema=schema, **run_arguments)
        if info and info.loads_ids:
            # the schema as this load has stored it
            saved = pipelines.as_stored(self._pipeline.schemas[schema.name])
            journals.as_in_database(self.schemas, saved)
            self.schemas = [saved if s.name == saved.name else s for s in self.schemas]
        return info


def first_schema(dataset_name: str) -> Schema:
    """Return an empty schema for a dataset that does not exist yet."""
    return Schema(Schema("any").naming.normalize_identifier(dataset_name))


@contextmanager
def saving(dataset: dlt.Dataset, pipeline_name: str, data_dir: str) -> Iterator[Save]:
    """Give a block its turn to save to a dataset; saves to one database come one after another.

    The block starts when the leftovers of killed saves are cleaned up.

    Args:
        dataset: The dataset.
        pipeline_name: The name of the pipeline that saves.
        data_dir: An existing folder. The working folder of the pipeline is made in it, and deleted
            after the block.

    Raises:
        DatasetInUse: Somebody else writes to the dataset at the same time.
        PipelineStepFailed: The destination does not answer (step `sync`), or the block raised it.
    """
    client, dataset_name = dataset.destination_client, dataset.dataset_name
    queue = queue_of(client, dataset_name)
    with turn_to_save(queue) as is_within:
        if not is_within:
            _clean_up(queue, client, data_dir)
        with _working_folder(queue, pipeline_name, data_dir) as folder:
            journal = queue.folder / f"journal_{uuid4().hex}"
            with contexts.no_active_pipeline():
                pipeline = pipelines.pipeline_of_class(
                    journals.AtomicPipeline,
                    pipeline_name=pipeline_name,
                    pipelines_dir=folder,
                    destination=journals.undoable(datasets.destination_of(dataset), journal),
                    dataset_name=dataset_name,
                )
            with _conflicts_told(dataset_name):
                yield Save(pipeline, _schemas_now(pipeline))


def _schemas_now(pipeline: dlt.Pipeline) -> list[Schema]:
    # another save may have changed them since the dataset was opened
    try:
        with pipeline.destination_client() as client:
            return stored_schemas(client)
    except Exception as error:
        raise PipelineStepFailed(pipeline, "sync", "", error) from error


@contextmanager
def _conflicts_told(dataset_name: str) -> Iterator[None]:
    try:
        yield
    except PipelineStepFailed as error:
        if not transactions.is_conflict(error):
            raise
        raise DatasetInUse(
            f"Dataset `{dataset_name}` is written to, or its database is opened, by somebody else "
            f"at the same time (step {error.step}: {error.exception}). Nothing was saved.",
            "Try again when they have finished.",
        ) from error


@contextmanager
def _working_folder(queue: SaveQueue, pipeline_name: str, data_dir: str) -> Iterator[str]:
    # each save has a folder of its own: the next save must not load what this one leaves pending
    folder = tempfile.mkdtemp(prefix=f"{pipeline_name}-", suffix=_mark(queue), dir=data_dir)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mark(queue: SaveQueue) -> str:
    """Return the ending of the folders in which this machine does the saves of `queue`."""
    return f"-{sha256((queue.key + socket.gethostname()).encode()).hexdigest()[:12]}"


def _clean_up(queue: SaveQueue, client: JobClientBase, data_dir: str) -> None:
    """Undo or finish the saves of processes that were killed, and delete their folders.

    This save has its turn, so whatever it finds belongs to a process that is dead.
    """
    for journal in sorted(queue.folder.glob("journal_*")):
        journals.settle(journal, client)
    for name in os.listdir(data_dir):
        if name.endswith(_mark(queue)):
            shutil.rmtree(os.path.join(data_dir, name), ignore_errors=True)


@dataclass(frozen=True)
class SaveQueue:
    """Where saves to one database file, or one dataset, wait for their turn.

    Attributes:
        key: Tells the queue from others; part of the names of files.
        folder: Holds the lock of the queue, and the journals of its saves.
    """

    key: str
    folder: Path


def queue_of(client: JobClientBase, dataset_name: str) -> SaveQueue:
    """Return the queue of the saves that go through `client` to a dataset."""
    place = destinations.physical_place(client, dataset_name)
    key = sha256(place.encode()).hexdigest()[:16]
    return SaveQueue(key, folder_of_locks("saves") / key)


@contextmanager
def turn_to_save(queue: SaveQueue) -> Iterator[bool]:
    """Wait until no other save of the queue runs, and keep others waiting in a block.

    Yields:
        Whether this thread has its turn already. Then the block is part of a running save: a
        generator may save while its own rows are saved.
    """
    owner = pipelines.thread_of_work(), queue.key
    if owner in _held:
        yield True
        return
    from filelock import FileLock

    queue.folder.mkdir(exist_ok=True)
    # each save has a lock object of its own, so that threads wait for each other as processes do
    lock = FileLock(str(queue.folder / "lock"), thread_local=False)
    with lock:
        _held[owner] = lock
        try:
            yield False
        finally:
            del _held[owner]
