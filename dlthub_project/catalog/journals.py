"""A journal of what a load does to the files of a filesystem destination, to undo it.

A file system has no transactions. A load notes each file before it writes it, and deletes files
last, when all others are there. If the load fails, the process takes the written files away again.
If the process was killed, the next one that finds the journal does so.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.catalog.losses import LosslessPipeline, refuse_losses
from dlthub_project.catalog.transactions import (
    SharedTransaction,
    can_share_transaction,
    is_postgres,
)
from dlthub_project.dlt_internals import pipelines
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo, NormalizeInfo


logger = logging.getLogger(__name__)

_ENTRIES = "entries.jsonl"


def keeps_files(client: JobClientBase) -> bool:
    """Tell whether the destination of `client` is a file system that a journal can undo."""
    if not str(client.config.destination_type).endswith("filesystem"):
        return False
    # Hugging Face has commits of its own
    return getattr(client.config, "protocol", "") != "hf"


class Journal:
    """The journal of one load: a folder with entries, and with copies of overwritten files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._is_begun = False
        self._noted: set[str] = set()

    def join(self, client: JobClientBase) -> None:
        """Note what a client does to files, from the moment that the journal is begun."""
        files: Any = client.fs_client  # type: ignore[attr-defined]  # of filesystem destinations
        client.fs_client = self._noting(files)  # type: ignore[attr-defined]  # as above

    @contextmanager
    def begun(self, client: JobClientBase) -> Iterator[None]:
        """Keep what a block does to the files; undo it if the block raises.

        Args:
            client: A client of the destination.
        """
        self.folder.mkdir(parents=True)
        self._is_begun = True
        try:
            yield
        except BaseException:
            self._is_begun = False
            # the journal keeps what cannot be undone now
            with suppress(Exception):
                settle(self.folder, client)
            raise
        self._is_begun = False
        self._enter("kept", "")
        try:
            settle(self.folder, client)
        except Exception as error:
            logger.warning(
                "All rows are saved, but not every file that they replace could be deleted: %s. "
                "The next save on this machine deletes the rest.",
                error,
            )

    def _enter(self, what: str, path: str, *more: str) -> None:
        with (self.folder / _ENTRIES).open("a", encoding="utf-8") as file:
            file.write(json.dumps([what, path, *more]) + "\n")

    def _noting(self, files: Any) -> Any:
        """Return a file system like `files` that notes what it is told to do.

        It is a copy and no subclass: remote file systems set their methods on the instance.
        """
        noting = copy.copy(files)
        for name, of_target in (("put_file", 1), ("write_text", 0), ("pipe_file", 0), ("touch", 0)):
            setattr(noting, name, self._written(files, getattr(noting, name), of_target))
        for name in ("rm_file", "rm"):
            setattr(noting, name, self._removed(getattr(noting, name)))
        noting.makedirs = self._made(files, noting.makedirs)
        return noting

    def _written(self, files: Any, write: Callable[..., Any], target: int) -> Callable[..., Any]:
        def written(*args: Any, **kwargs: Any) -> Any:
            if self._is_begun:
                self._note_file(files, str(args[target]))
            return write(*args, **kwargs)

        return written

    def _note_file(self, files: Any, path: str) -> None:
        with self._lock:
            if path in self._noted:
                return
            self._noted.add(path)
            if files.exists(path):
                copied = self.folder / uuid4().hex
                files.get_file(path, str(copied))
                self._enter("overwritten", path, copied.name)
            else:
                self._enter("written", path)

    def _made(self, files: Any, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(path: str, *args: Any, **kwargs: Any) -> Any:
            if self._is_begun:
                with self._lock:
                    folder, missing = str(path).rstrip("/\\"), []
                    while folder and not files.exists(folder):
                        missing.append(folder)
                        # fsspec has `/`, and dlt's folders on Windows the other
                        folder = folder[: max(folder.rfind("/"), folder.rfind(os.sep), 0)]
                    for folder in reversed(missing):
                        self._enter("made", folder)
            return make(path, *args, **kwargs)

        return made

    def _removed(self, remove: Callable[..., Any]) -> Callable[..., Any]:
        def removed(path: str, *args: Any, **kwargs: Any) -> Any:
            if not self._is_begun:
                return remove(path, *args, **kwargs)
            with self._lock:
                self._enter("to delete", str(path))
            return None

        return removed


def settle(folder: Path, client: JobClientBase) -> None:
    """Undo a load that did not reach its end; delete the replaced files of one that did.

    A second call does what an interrupted one left undone. The journal is deleted at the end.

    Args:
        folder: The folder of the journal.
        client: A client of the destination.
    """
    files: Any = client.fs_client  # type: ignore[attr-defined]  # of filesystem destinations
    files.invalidate_cache()
    entries = list(_entries(folder))
    if any(what == "kept" for what, *_ in entries):
        for what, path, *_ in entries:
            if what == "to delete" and files.exists(path):
                files.rm(path)
    else:
        for what, path, *more in reversed(entries):
            if what == "written" and files.exists(path):
                files.rm(path)
            elif what == "overwritten":
                files.put_file(str(folder / more[0]), path)
            elif what == "made":
                # somebody else may have put a file there
                with suppress(OSError, NotImplementedError):
                    files.rmdir(path)
    files.invalidate_cache()
    shutil.rmtree(folder)


def _entries(folder: Path) -> Iterator[list[str]]:
    path = folder / _ENTRIES
    if not os.path.exists(path):
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        # a process that was killed while it wrote an entry has not touched the file yet
        with suppress(json.JSONDecodeError):
            yield json.loads(line)


class _Undoing:
    """Makes the clients of a destination, and lets all that they do be undone together."""

    def __init__(self, destination: AnyDestination, journal: Path) -> None:
        self._make: Any = type(destination).client
        self._destination = destination
        self._transaction = SharedTransaction()
        self._journal = Journal(journal)

    def __call__(self, *args: Any, **kwargs: Any) -> JobClientBase:
        client: JobClientBase = self._make(self._destination, *args, **kwargs)
        if can_share_transaction(client):
            self._transaction.join(client)
        elif keeps_files(client):
            self._journal.join(client)
        return client

    def as_a_whole(self, client: JobClientBase) -> AbstractContextManager[None]:
        """Return a context that undoes the load in its block if the block raises or is killed."""
        if can_share_transaction(client):
            return self._transaction.begun(client)
        if keeps_files(client):
            return self._journal.begun(client)
        return nullcontext()


class AtomicPipeline(LosslessPipeline):
    """A pipeline to a destination that `undoable` made: where it can, it loads all or nothing.

    Attributes:
        stored: The schemas of the dataset before the load.
    """

    stored: Sequence[Schema] = ()

    def normalize(self, *args: Any, **kwargs: Any) -> NormalizeInfo:
        """Normalize what was extracted, if the tables of the dataset can hold its values.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.normalize` raises it, or a value would be changed.
        """
        try:
            refuse_losses(self, self.stored)
        except ProjectError as error:
            raise PipelineStepFailed(self, "normalize", "", error) from error
        return super().normalize(*args, **kwargs)

    def load(self, *args: Any, **kwargs: Any) -> LoadInfo:
        """Load all packages, or none of them.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.load` raises it. The destination is as it was.
        """
        pipelines.change_packaged_schemas(self, partial(as_in_database, self.stored))
        undoing: Any = self.destination.client
        # the client of the dataset: any schema will do
        client = pipelines.destination_client(self, Schema("any"))
        try:
            with undoing.as_a_whole(client):
                return super().load(*args, **kwargs)
        except PipelineStepFailed:
            raise
        except Exception as error:
            # the database refused the commit, or could not be reached
            raise PipelineStepFailed(self, "load", "", error) from error


# the hints of a column that a database does not change when dlt loads into it
_TYPE = ("data_type", "precision", "scale", "timezone")


def as_in_database(stored: Sequence[Schema], schema: Schema) -> bool:
    """Give the tables of a schema what they have in the database; tell whether one has changed.

    Columns keep their types, which dlt replaces by those of Arrow data. Its own columns are
    nullable where a table is there without them, because its rows have none: tables of Arrow data,
    and those that transformations make.

    Raises:
        ProjectError: A merge would look for rows by their `_dlt_id`, and they may have none.
    """
    naming = schema.naming
    prefix, row_id = (str(naming.normalize_identifier(name)) for name in ("_dlt", "_dlt_id"))
    is_changed = False
    told: set[tuple[str, str]] = set()
    # where two schemas disagree about a column, each keeps its own word
    for before in sorted(stored, key=lambda one: one.name != schema.name):
        for name, table in before.tables.items():
            for column, hints in schema.tables.get(name, {}).get("columns", {}).items():
                there: dict[str, Any] = {**table["columns"].get(column, {})}
                if (name, column) in told:
                    continue
                if there:
                    told.add((name, column))
                wanted: dict[str, Any] = {**hints}
                if there.get("data_type") is not None:
                    wanted = {key: value for key, value in hints.items() if key not in _TYPE}
                    wanted.update((key, there[key]) for key in _TYPE if key in there)
                if column.startswith(prefix) and there.get("nullable", True):
                    if column == row_id and _finds_rows_by_id(schema, name):
                        raise _no_ids(name, column)
                    wanted["nullable"] = True
                if wanted != hints:
                    schema.tables[name]["columns"][column] = wanted  # type: ignore[assignment]  # of the same keys
                    is_changed = True
    return is_changed


def _finds_rows_by_id(schema: Schema, name: str) -> bool:
    table: Any = schema.tables[name]
    if table.get("write_disposition") != "merge":
        return False
    is_nested = any(other.get("parent") == name for other in schema.tables.values())
    return is_nested or table.get("x-merge-strategy") == "scd2"


def _no_ids(table: str, column: str) -> ProjectError:
    return ProjectError(
        f"Table `{table}` has rows without `{column}`, by which dlt finds the rows to replace in a "
        "merge of rows with lists in them, and in scd2. Nothing was saved: these rows would stay "
        "beside the new ones.",
        'Save to another table, or append or replace (write_disposition="replace").',
    )


def undoable(destination: AnyDestination, journal: Path) -> AnyDestination:
    """Return a copy of a destination for `AtomicPipeline`; the destination itself does not change.

    DuckDB and PostgreSQL get one transaction for a whole load, file systems get a journal. Other
    destinations load as they always do.

    Args:
        destination: The destination.
        journal: The folder of the journal. It is made when a file system needs it.
    """
    made = copy.copy(destination)
    made.config_params = dict(destination.config_params)
    made.caps_params = dict(destination.caps_params)
    if can_share_transaction(made):
        # one connection does one thing at a time
        made.caps_params["loader_parallelism_strategy"] = "sequential"
    if is_postgres(made):
        made.caps_params.update(_of_postgres(destination))
    vars(made)["client"] = _Undoing(made, journal)
    return made


def _of_postgres(destination: AnyDestination) -> dict[str, Any]:
    supported = destination.capabilities().supported_loader_file_formats or ()
    return {
        # dlt loads Parquet by ADBC, which opens a connection of its own
        "supported_loader_file_formats": [f for f in supported if f != "parquet"],
        "loader_file_format_selector": None,
        # TRUNCATE would lock every reader out until the transaction ends
        "supports_truncate_command": False,
    }
