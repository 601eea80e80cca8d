"""One run of one pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlt

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo


class PipelineRunner:
    """Runs a pipeline; data that an earlier run left pending are finished first."""

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self.pipeline = pipeline

    def run(self, data: Any, **run_arguments: Any) -> LoadInfo:
        """Extract, normalize and load `data`.

        Args:
            data: Whatever `dlt.Pipeline.run` takes.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Returns:
            What was loaded of `data`, without what was pending before.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` does.
        """
        self._finish_pending()
        return self.pipeline.run(data, **run_arguments)

    def _finish_pending(self) -> None:
        # never with `run()`: it wipes extracted data when the dataset does not exist yet, and it
        # stops after the pending data
        if not self.pipeline.has_pending_data:
            return
        self.pipeline.activate()
        if self.pipeline.list_extracted_load_packages():
            self.pipeline.normalize()
        if self.pipeline.list_normalized_load_packages():
            self.pipeline.load()


def runner(pipeline: dlt.Pipeline) -> PipelineRunner:
    """Return the runner of a pipeline that is made in code; also `dlt.hub.runner`."""
    return PipelineRunner(pipeline)


def row_counts(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Return the rows that the last run of `pipeline` normalized, by data table.

    Nested tables are included; a table without rows is absent, and so are dlt's own tables.
    """
    trace = pipeline.last_trace
    info = trace.last_normalize_info if trace else None
    counts = info.row_counts if info else {}
    return {table: rows for table, rows in counts.items() if rows and not table.startswith("_dlt_")}
