"""A pipeline whose loads leave the destination either changed as a whole or as it was."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.catalog.journals import Journal, keeps_files
from dlthub_project.catalog.transactions import (
    SharedTransaction,
    can_share_transaction,
    is_postgres,
)
from dlthub_project.dlt_internals import pipelines

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo


class _Undoing:
    """Has the clients of one destination take part in what can be undone."""

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
        """Return what undoes a block of loading that raises, or is killed."""
        if can_share_transaction(client):
            return self._transaction.begun(client)
        if keeps_files(client):
            return self._journal.begun(client)
        return nullcontext()


class AtomicPipeline(dlt.Pipeline):
    """A pipeline to a destination of `undoable`: where it can, it loads all or nothing."""

    def load(self, *args: Any, **kwargs: Any) -> LoadInfo:
        """Load as `dlt.Pipeline.load` does, all packages or nothing.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.load` does; the destination is as it was before.
        """
        undoing: Any = self.destination.client
        # of the dataset, whichever schema is loaded
        client = pipelines.destination_client(self, Schema("any"))
        try:
            with undoing.as_a_whole(client):
                return super().load(*args, **kwargs)
        except PipelineStepFailed:
            raise
        except Exception as error:
            # the database refused the commit, or could not be reached
            raise PipelineStepFailed(self, "load", "", error) from error


def undoable(destination: AnyDestination, journal: Path) -> AnyDestination:
    """Return a copy of a destination for `AtomicPipeline`; the destination itself stays as it is.

    DuckDB and PostgreSQL get one transaction for a load, file systems a journal; others as they
    are.

    Args:
        destination: The destination.
        journal: A folder for the journal; made only where there is one.
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
        # ADBC, which loads it, has a connection of its own
        "supported_loader_file_formats": [f for f in supported if f != "parquet"],
        "loader_file_format_selector": None,
        # until the end of the transaction nobody could read a truncated table
        "supports_truncate_command": False,
    }
