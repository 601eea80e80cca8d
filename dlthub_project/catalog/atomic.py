"""A pipeline that loads everything or nothing, where its destination allows that."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.catalog.journals import Journal, keeps_files
from dlthub_project.catalog.losses import refuse_losses
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


class AtomicPipeline(dlt.Pipeline):
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
        pipelines.change_packaged_schemas(self, partial(_spare_rows, self.stored))
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


def _spare_rows(stored: Sequence[Schema], schema: Schema) -> bool:
    """Make dlt's own columns nullable where a table is there without them; tell if there are any.

    A database cannot add a required column to a table that has rows. Tables of Arrow data, and
    those that transformations make, lack columns that dlt gives to rows.

    Raises:
        ProjectError: A merge would look for rows by their `_dlt_id`, and they may have none.
    """
    prefix = str(schema.naming.normalize_identifier("_dlt"))
    is_changed = False
    for before in stored:
        for name, table in before.tables.items():
            for column, hints in schema.tables.get(name, {}).get("columns", {}).items():
                there = table["columns"].get(column, {}).get("nullable", True)
                if column.startswith(prefix) and there:
                    is_id = column == schema.naming.normalize_identifier("_dlt_id")
                    if is_id and _finds_rows_by_id(schema, name):
                        raise _no_ids(name, column)
                    is_changed = is_changed or hints.get("nullable") is False
                    hints["nullable"] = True
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
