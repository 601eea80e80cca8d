"""What a test gets back from a run."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlthub_project.runner import row_counts
from pytest_dlthub.assertions import table_rows

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.common.schema import Schema
    from dlt.pipeline.trace import PipelineTrace


class PipelineRun:
    """One finished run of a pipeline, and the dataset that it loaded.

    Attributes:
        pipeline: The pipeline.
        load_info: What dlt returned; None when there was nothing to load.
        trace: dlt's trace of the run.
        row_counts: Rows that this run normalized by data table, nested tables included; a table
            without rows is absent.
    """

    def __init__(self, pipeline: dlt.Pipeline, load_info: LoadInfo | None) -> None:
        self.pipeline = pipeline
        self.load_info = load_info
        self.trace: PipelineTrace | None = pipeline.last_trace
        self.row_counts: dict[str, int] = row_counts(pipeline)

    @cached_property
    def dataset(self) -> dlt.Dataset:
        """The dataset that the pipeline loads, with everything that is in it."""
        return self.pipeline.dataset()

    @property
    def schema(self) -> Schema:
        """The pipeline's default schema."""
        return self.pipeline.default_schema

    @property
    def tables(self) -> list[str]:
        """The names of the data tables in the dataset, nested tables included."""
        return [name for name in self.dataset.tables if not name.startswith("_dlt_")]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table in the dataset, without dlt's own columns.

        Raises:
            ValueError: There is no such table; the message lists those that there are.
        """
        return table_rows(self.dataset.table(table))

    def __repr__(self) -> str:
        return f"<PipelineRun {self.pipeline.pipeline_name}: {self.row_counts}>"
