"""A dataset that can be written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.destination.client import WithStateSync
from dlt.common.schema import Schema

from dlthub_project.catalog import transactions
from dlthub_project.catalog.saved_data import named_data
from dlthub_project.catalog.saving import (
    first_schema,
    queue_of,
    refuse_other_targets,
    saving,
    turn_to_save,
)
from dlthub_project.catalog.schemas import Dispute, settle, tell_when_read
from dlthub_project.dlt_internals import datasets, pipelines, sql_clients
from dlthub_project.entities import DatasetLocation
from dlthub_project.errors import DatasetNotLoaded
from dlthub_project.secrets import hidden_in_errors

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo


class ReadableDataset(dlt.Dataset):
    """A `dlt.Dataset` that reads PostgreSQL in chunks, and that can be pickled and copied.

    A connection is open for one query, or for a `with` block. No other process can write to a
    DuckDB file while a connection to it is open.
    """

    _disputes: Sequence[Dispute] = ()

    @property
    def disputes(self) -> Sequence[Dispute]:
        """The columns that its schemas give different types: they are not read."""
        return self._disputes

    @property
    def sql_client(self) -> Any:
        """The client that runs queries; PostgreSQL keeps the chunks that nobody has fetched yet."""
        client = super().sql_client
        transactions.connect_patiently(client)
        sql_clients.leave_on_server(client)
        tell_when_read(client, self)
        return client

    def __getstate__(self) -> dict[str, Any]:
        return datasets.without_connections(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        datasets.restore_dataset(self, state)


class WritableDataset(ReadableDataset):
    """A `dlt.Dataset` with `save`."""

    def __init__(
        self,
        destination: AnyDestination,
        location: DatasetLocation,
        schemas: Sequence[Schema],
        data_dir: str,
    ) -> None:
        """Make the dataset; `Catalog.dataset` gives one.

        Args:
            destination: The destination that it lives on.
            location: Its name, its destination's name and its contract.
            schemas: Its schemas, the default one first.
            data_dir: An existing folder for the working files of saves.
        """
        settled, self._disputes = settle(schemas)
        super().__init__(destination, location.dataset_name, schema=settled)
        self._location = location
        self._data_dir = data_dir

    @hidden_in_errors()
    def save(
        self,
        data: Any,
        table_name: str | None = None,
        *,
        write_disposition: Any = "append",
        primary_key: Any = None,
        columns: Any = None,
        schema_contract: Any = None,
        **run_arguments: Any,
    ) -> LoadInfo:
        """Write `data` to a table of this dataset, by a pipeline of its own.

        Args:
            data: A frame, an Arrow table, a list or iterator of rows, frames or tables, a
                generator function, a dlt resource or source, or a relation.
            table_name: The table. It may be left out only if the data name their table.
            write_disposition: As in `dlt.Pipeline.run`; None for those of the resources.
            primary_key: As in `dlt.Pipeline.run`.
            columns: As in `dlt.Pipeline.run`.
            schema_contract: A contract that replaces the one that the dataset declares.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Raises:
            ProjectError: The data name no table and `table_name` is missing, or an argument names
                another dataset or destination.
            DatasetInUse: Somebody else writes to the dataset, or has its database open.
            PipelineStepFailed: As `dlt.Pipeline.run` raises it. On DuckDB, PostgreSQL and file
                systems the dataset is as it was before. The next save does not load the data of
                this one.
        """
        refuse_other_targets(run_arguments)
        name, rows = named_data(data, table_name)
        table = self.schema.naming.normalize_table_identifier(name)
        pipeline_name = f"save_{table}_pipeline"
        # dlt gives its own columns to rows, and not to frames: a table takes both kinds of data
        # only if both have them
        for column in ("add_dlt_load_id", "add_dlt_id"):
            for kind in ("parquet_normalizer", "model_normalizer"):
                pipelines.set_default(column, True, pipeline_name, "normalize", kind)
        # one chunk may have columns that another one lacks
        pipelines.set_default(
            "arrow_concat_promote_options", "default", pipeline_name, "data_writer"
        )
        with saving(self, pipeline_name, self._data_dir) as save:
            info = save.run(
                table,
                rows,
                table_name=table_name,
                write_disposition=write_disposition,
                primary_key=primary_key,
                columns=columns,
                schema_contract=schema_contract or self._location.contract,
                **run_arguments,
            )
            settled, self._disputes = settle(save.schemas)
            datasets.replace_schemas(self, settled)
        return info


class NewDataset(WritableDataset):
    """A declared dataset that does not exist yet: the first `save` makes it.

    Whatever reads it raises `DatasetNotLoaded`. It is a `WritableDataset` from the first save on.
    """

    def __init__(
        self,
        destination: AnyDestination,
        location: DatasetLocation,
        data_dir: str,
        not_loaded: DatasetNotLoaded,
    ) -> None:
        """Make the dataset, and nothing at the destination.

        Args:
            destination: The destination that it will live on.
            location: Its name, its destination's name and its contract.
            data_dir: An existing folder for the working files of saves.
            not_loaded: The error that a read raises.
        """
        self._not_loaded = not_loaded
        schemas = [first_schema(location.dataset_name)]
        super().__init__(destination, location, schemas, data_dir)

    def save(self, *args: Any, **kwargs: Any) -> LoadInfo:
        """Make the dataset with its first table; see `WritableDataset.save`."""
        self.__class__ = WritableDataset  # type: ignore[assignment]  # of the same attributes
        try:
            return WritableDataset.save(self, *args, **kwargs)
        except BaseException:
            # nothing was made
            self.__class__ = NewDataset
            raise

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in _KNOWN_BEFORE:
            return super().__getattribute__(name)
        raise self._error()

    def __getitem__(self, name: Any) -> Any:
        raise self._error()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error()

    def _error(self) -> DatasetNotLoaded:
        return DatasetNotLoaded(self._not_loaded.reason, self._not_loaded.instruction)

    def __repr__(self) -> str:
        return f"<NewDataset {self.dataset_name}: {self._not_loaded.reason}>"


_KNOWN_BEFORE = frozenset(("save", "dataset_name", "disputes"))


def drop_dataset(dataset: WritableDataset) -> None:
    """Remove a dataset with all its tables, in turn with the saves to it.

    Pipelines that load it start anew with their next run: dlt keeps the state beside the data.
    """
    client = dataset.destination_client
    with turn_to_save(queue_of(client, dataset.dataset_name)), client:
        if isinstance(client, WithStateSync) and client.is_storage_initialized():
            client.drop_storage()
