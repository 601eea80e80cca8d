"""The attempts of one run: each goes on where the one before has failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dlt.common.pipeline import LoadInfo
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import SourceUsedUp
from dlthub_project.runner.outcome import joined
from dlthub_project.runner.rebuilding import MakeData
from dlthub_project.runner.resume import finish_pending

if TYPE_CHECKING:
    import dlt


class Attempts:
    """Runs a pipeline; called again, it resumes.

    Attributes:
        number: How many attempts there were.
        started_at: When the last one started.
    """

    def __init__(
        self,
        pipeline: dlt.Pipeline,
        make_data: MakeData,
        run_arguments: Mapping[str, Any],
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Make the data, and run nothing yet.

        Args:
            pipeline: The pipeline.
            make_data: Makes what is extracted: now, and for every further attempt that extracts.
            run_arguments: Arguments of `dlt.Pipeline.run`.
            prepare: What is to succeed once before anything is run.
        """
        self.number = 0
        self.started_at = datetime.now(timezone.utc)
        self._pipeline = pipeline
        self._make_data = make_data
        self._arguments = run_arguments
        self._prepare = prepare
        self._data = make_data()
        self._is_read = self._is_extracted = False
        self._loaded: LoadInfo | None = None
        self._failure: PipelineStepFailed | None = None

    def __call__(self) -> LoadInfo:
        """Finish what is pending and run what is not extracted yet.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` does.
            SourceUsedUp: The data are to be extracted again, and can be read only once.
        """
        self.number += 1
        self.started_at = datetime.now(timezone.utc)
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
        if self._is_read:
            self._make_data_again()
        try:
            finish_pending(self._pipeline)
            info = self._resumed() if self._is_extracted else self._run()
        except PipelineStepFailed as error:
            self._failure = error
            if self._is_extracted and isinstance(error.step_info, LoadInfo):
                self._loaded = joined(self._loaded, error.step_info)
            raise
        # of no data at all dlt has no info
        return joined(self._loaded, info) if info else info

    def _make_data_again(self) -> None:
        try:
            self._data = self._make_data()
        except SourceUsedUp as used_up:
            raise used_up from self._failure
        self._is_read = False

    def _run(self) -> LoadInfo:
        try:
            return self._pipeline.run(self._data, **self._arguments)
        except PipelineStepFailed as error:
            self._is_read = error.step == "extract"
            self._is_extracted = error.step in ("normalize", "load")
            raise

    def _resumed(self) -> LoadInfo:
        trace = self._pipeline.last_trace
        step = trace.last_pipeline_step_trace("load") if trace else None
        info = step.step_info if step and step.started_at >= self.started_at else None
        # where dlt keeps no traces, what is left to load: nothing
        return info if isinstance(info, LoadInfo) else self._pipeline.load()
