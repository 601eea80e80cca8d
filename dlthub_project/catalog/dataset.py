"""A dataset that can be written to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dlt

from dlthub_project import dlt_internals
from dlthub_project.catalog.data import named_data
from dlthub_project.catalog.schemas import stored_schemas
from dlthub_project.entities import DatasetLocation
from dlthub_project.runner import PipelineRunner

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo
    from dlt.common.schema import Schema


class WritableDataset(dlt.Dataset):
    """A `dlt.Dataset` with `save`: everything that reads is dlt's own."""

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
            write_disposition: As in `dlt.Pipeline.run`.
            primary_key: As in `dlt.Pipeline.run`.
            columns: As in `dlt.Pipeline.run`.
            schema_contract: A contract to hold instead of the one that the dataset declares.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Raises:
            ProjectError: The data name no table, and `table_name` is not given.
            PipelineStepFailed: As `dlt.Pipeline.run` does. The next save does not load the data
                of a failed one.
        """
        name, rows = named_data(data, table_name)
        table = self.schema.naming.normalize_table_identifier(name)
        pipeline_name = f"save_{table}_pipeline"
        # a table takes frames and dicts alike only when both carry dlt's own columns
        for column in ("add_dlt_load_id", "add_dlt_id"):
            dlt_internals.set_default(
                column, True, pipeline_name, "normalize", "parquet_normalizer"
            )
        # of its own, and gone with the save: the next one must not load what this one leaves
        folder = tempfile.mkdtemp(prefix=f"{pipeline_name}-", dir=self._data_dir)
        try:
            with dlt_internals.no_active_pipeline():
                pipeline = dlt.pipeline(
                    pipeline_name=pipeline_name,
                    pipelines_dir=folder,
                    destination=self._destination,
                    dataset_name=self.dataset_name,
                )
                info = PipelineRunner(pipeline).run(
                    rows,
                    table_name=table_name,
                    write_disposition=write_disposition,
                    primary_key=primary_key,
                    columns=columns,
                    schema=self._schema_of(table),
                    schema_contract=schema_contract or self._where.contract,
                    **run_arguments,
                )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._read_schemas_again()
        return info

    def _schema_of(self, table: str) -> Schema:
        """Return a copy of the schema that has `table`; for a new table, of the default one."""
        having = (schema for schema in self.schemas if table in schema.tables)
        return next(having, self.schema).clone()

    def _read_schemas_again(self) -> None:
        client = dlt_internals.open_destination(
            self._destination, self.dataset_name, self.dataset_name
        )
        with client:
            dlt_internals.replace_schemas(self, stored_schemas(client))
