"""A dataset that can be written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dlt

from dlthub_project.catalog import conflicts
from dlthub_project.catalog.data import named_data
from dlthub_project.catalog.saving import refuse_other_places, saving
from dlthub_project.dlt_internals import datasets, pipelines, server_cursors
from dlthub_project.entities import DatasetLocation

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo
    from dlt.common.schema import Schema


class ReadableDataset(dlt.Dataset):
    """A `dlt.Dataset` that reads PostgreSQL in chunks, and that is pickled and copied at any time.

    Connections are open for one query, or in a `with` block: a DuckDB file that is held open can be
    written by no other process.
    """

    @property
    def sql_client(self) -> Any:
        """The client that answers; chunks that are not fetched yet stay on the server."""
        client = super().sql_client
        conflicts.connect_patiently(client)
        server_cursors.leave_on_server(client)
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
        where: DatasetLocation,
        schemas: Sequence[Schema],
        data_dir: str,
    ) -> None:
        """Make the dataset; `Catalog.dataset` gives one.

        Args:
            destination: The destination that it lives on.
            where: Its place and contract.
            schemas: Its schemas, the default one first.
            data_dir: An existing folder for the working files of saves.
        """
        super().__init__(destination, where.dataset_name, schema=list(schemas))
        self._where = where
        self._data_dir = data_dir

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
        """Write `data` to a table of this dataset, through an ad-hoc pipeline.

        Args:
            data: A frame, an Arrow table, a list or iterator of rows, frames or tables, a
                generator function, a dlt resource or source, or a relation.
            table_name: The table; may be left out only where the data name theirs.
            write_disposition: As in `dlt.Pipeline.run`; None for what resources say themselves.
            primary_key: As in `dlt.Pipeline.run`.
            columns: As in `dlt.Pipeline.run`.
            schema_contract: A contract to hold instead of the one that the dataset declares.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Raises:
            ProjectError: The data name no table, and `table_name` is not given; or an argument
                names another place.
            DatasetInUse: Somebody else writes to the dataset, or has its database, meanwhile.
            PipelineStepFailed: As `dlt.Pipeline.run` does. The dataset is as it was before, where
                its destination is a DuckDB, PostgreSQL or filesystem one, and the next save does
                not load the data of a failed one.
        """
        refuse_other_places(run_arguments)
        name, rows = named_data(data, table_name)
        table = self.schema.naming.normalize_table_identifier(name)
        pipeline_name = f"save_{table}_pipeline"
        # a table takes frames and dicts alike only when both carry dlt's own columns
        for column in ("add_dlt_load_id", "add_dlt_id"):
            for kind in ("parquet_normalizer", "model_normalizer"):
                pipelines.set_default(column, True, pipeline_name, "normalize", kind)
        # chunks need not have the same columns
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
                schema_contract=schema_contract or self._where.contract,
                **run_arguments,
            )
            datasets.replace_schemas(self, save.schemas)
        return info
