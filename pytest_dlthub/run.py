"""What a test gets back from a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project.dlt_internals import datasets
from dlthub_project.runner import row_counts, schema_changes
from dlthub_project.sandbox import sent_to, untraced_steps
from pytest_dlthub.assertions import table_rows

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.common.schema import Schema
    from dlt.pipeline.trace import PipelineTrace

Again = Callable[..., "PipelineRun"]


class PipelineRun:
    """One finished run of a pipeline, and the dataset that it loaded.

    Counts, load info and trace are those of this run; dataset, rows, tables and schema are as they
    are when they are asked for, after later runs too.

    Attributes:
        row_counts: Rows of this run by data table, nested tables included; a table without rows
            is absent.
    """

    def __init__(self, pipeline: dlt.Pipeline, load_info: LoadInfo | None, again: Again) -> None:
        """Make the run; the harness gives one.

        Args:
            pipeline: The pipeline.
            load_info: What it returned.
            again: Runs it once more, with other arguments where there are any.
        """
        self._again = again
        self._pipeline = pipeline
        self._load_info = load_info
        trace = pipeline.last_trace
        # dlt adds the steps of later calls to the trace that it has
        self._trace = trace and trace._replace(steps=list(trace.steps))
        self.row_counts: dict[str, int] = row_counts(pipeline, load_info, untraced_steps(pipeline))

    @property
    def pipeline(self) -> dlt.Pipeline:
        """The pipeline."""
        return self._pipeline

    @property
    def load_info(self) -> LoadInfo | None:
        """What dlt returned; None when there was nothing to load."""
        return self._load_info

    @property
    def trace(self) -> PipelineTrace | None:
        """dlt's trace of the run."""
        return self._trace

    @property
    def dataset(self) -> dlt.Dataset:
        """The dataset that the pipeline loads, with everything that is in it now."""
        return self.pipeline.dataset()

    def next(
        self, *, given: Mapping[str, Any] | None = None, data: Any = None, **run_arguments: Any
    ) -> PipelineRun:
        """Run the pipeline again on the state that it has now: "day 2".

        Without arguments, what was run before is run once more.

        Args:
            given: What named resources yield this time; see `DltProject.run`.
            data: What to load instead of what was loaded before.
            **run_arguments: Arguments of the run to have otherwise than before.

        Returns:
            That run alone: its row counts and schema changes. The dataset is the same.

        Raises:
            TypeError: It is not known what was run, and no data are given; or it was an iterator,
                which is used up.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
        """
        if data is not None:
            return self._again(data=data, given=given, **run_arguments)
        if given is not None:
            return self._again(given=given, **run_arguments)
        return self._again(**run_arguments)

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

    @property
    def schema_changes(self) -> dict[str, list[str]]:
        """The columns that this run added at the destination, by table; new tables have all."""
        return schema_changes(self.load_info)

    @property
    def database_path(self) -> Path | None:
        """The DuckDB file that was loaded; None for other destinations. No connection is open."""
        with self.pipeline.destination_client() as client:
            path = datasets.local_database(client)
        return Path(path) if path else None

    @property
    def sent(self) -> dict[str, list[Any]]:
        """What a custom destination function was to be given in this test, by table.

        Items as the function would be given them; nothing is sent. Empty for other destinations.
        """
        return sent_to(self.pipeline.destination)

    def __repr__(self) -> str:
        return f"<PipelineRun {self.pipeline.pipeline_name}: {self.row_counts}>"
