"""Stores the trace of each attempt: in a table, or in a file if that fails.

dlt#1687: dlt does not mask secrets in traces, so the store does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common import logger
from dlt.common.json import json

from dlthub_project.dlt_internals import configuration, destinations
from dlthub_project.runner.resume import finish_pending
from dlthub_project.sandbox import active_sandbox
from dlthub_project.secrets import Redactor

if TYPE_CHECKING:
    from dlt.pipeline.trace import PipelineStepTrace, PipelineTrace

MakePipeline = Callable[[], dlt.Pipeline]

_FOLDER = "traces"


class TraceStore:
    """Stores the traces of one pipeline's runs."""

    def __init__(self, pipeline: dlt.Pipeline, make_pipeline: MakePipeline | None = None) -> None:
        """Make the store.

        Args:
            pipeline: The pipeline whose runs are traced.
            make_pipeline: Makes the pipeline that stores the traces, when there is a trace. The
                default is `_trace_<pipeline>` on the same destination, with a dataset of its own.
        """
        self._pipeline = pipeline
        self._make_pipeline = make_pipeline
        self._redactor = Redactor()

    def on_step(self, step: str, ended: PipelineStepTrace | None, trace: PipelineTrace) -> None:
        """Remember the secrets that dlt looked up for a step that has ended: dlt forgets them."""
        if ended is not None:
            self._redactor.learn_look_ups(configuration.looked_up_values())

    def store(self, attempt: int, started_at: datetime) -> None:
        """Store the trace of an attempt, without secrets. A failure is logged and not raised.

        Args:
            attempt: The number of the attempt, from 1.
            started_at: When it started. Steps that started before belong to other attempts.
        """
        name = self._pipeline.pipeline_name
        try:
            row = self._row(attempt, started_at)
        except Exception:
            logger.warning(f"No trace of attempt {attempt} of pipeline {name}", exc_info=True)
            return
        if row is None:
            return
        try:
            self._load(row)
        except Exception as error:
            reason = self._redactor.redacted(f"{type(error).__name__}: {error}")
            try:
                path = self._write(row)
            except OSError as of_file:
                logger.warning(
                    f"The trace of attempt {attempt} of pipeline {name} is lost. No pipeline "
                    f"stored it: {reason}\nIt could not be written to a file: {of_file}"
                )
            else:
                logger.warning(
                    f"The trace of attempt {attempt} of pipeline {name} is in {path}. No pipeline "
                    f"stored it: {reason}"
                )
        finally:
            self._pipeline.activate()

    def _row(self, attempt: int, started_at: datetime) -> dict[str, Any] | None:
        trace = self._pipeline.last_trace
        # dlt adds the steps of a resumed package to the trace of the attempt that left it
        steps = [s for s in trace.steps if s.started_at >= started_at] if trace else []
        if trace is None or not steps:
            return None
        self._redactor.learn_environment()
        for destination in (self._pipeline.destination, self._pipeline.staging):
            if destination is not None:
                # code may have given secrets to the destination
                self._redactor.learn(destination.config_params, is_secret=False)
        traced = trace._replace(
            steps=[],
            started_at=steps[0].started_at,
            finished_at=datetime.now(timezone.utc),
            # where values come from, without the values; as plain types, for a row
            resolved_config_values=[v.asdict() for v in trace.resolved_config_values or ()],  # type: ignore[misc]
        )
        # `run` only repeats its steps, unless it failed itself
        told = [_as_dict(s) for s in steps if s.step != "run" or s.step_exception is not None]
        whole = {**traced.asdict(), "attempt": attempt, "steps": told}
        row: dict[str, Any] = self._redactor.redacted(whole)
        return row

    def _load(self, row: dict[str, Any]) -> None:
        table = f"{self._pipeline.pipeline_name}_trace"
        with _unobserved():
            store = self._own_pipeline() if self._make_pipeline is None else self._make_pipeline()
            finish_pending(store)
            try:
                store.run([row], table_name=table)
            except Exception:
                if self._make_pipeline is None:
                    # the trace goes into a file, and must not stay in a pending package
                    store.drop()
                raise

    def _own_pipeline(self) -> dlt.Pipeline:
        pipeline = self._pipeline
        if pipeline.destination is None:
            raise ValueError("the pipeline has no destination")
        if destinations.is_custom_destination(pipeline.destination):
            raise ValueError("a destination function takes the data of its pipeline only")
        made: dlt.Pipeline = dlt.pipeline(
            pipeline_name=f"_trace_{pipeline.pipeline_name}",
            pipelines_dir=pipeline.pipelines_dir,
            destination=pipeline.destination,
            staging=pipeline.staging,
            dev_mode=False,
        )
        return made

    def _write(self, row: dict[str, Any]) -> Path:
        folder = Path(self._pipeline.working_dir, _FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{row['transaction_id']}_attempt_{row['attempt']}_trace.json"
        path.write_text(json.dumps(row, pretty=True), encoding="utf-8")
        return path


@contextmanager
def kept_files(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keep the trace files if dlt deletes the working folder in the block.

    dlt deletes the working folder of a pipeline whose dataset does not exist. A first run that has
    failed leaves no dataset.
    """
    folder = Path(pipeline.working_dir, _FOLDER)
    held = {path: path.read_bytes() for path in folder.glob("*.json")} if folder.is_dir() else {}
    try:
        yield
    finally:
        for path, content in held.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def _as_dict(step: PipelineStepTrace) -> dict[str, Any]:
    if step.step == "run":
        # `run` repeats the info of the step that failed
        step = step._replace(step_info=None)
    try:
        return step.asdict()
    except AssertionError:
        # dlt expects metrics, and a step that failed at its start has none
        return step._replace(step_info=None).asdict()


def _unobserved() -> AbstractContextManager[None]:
    """Hide the run that stores a trace from the runs that a test sees."""
    if active_sandbox() is None:
        return nullcontext()
    from dlthub_project.sandbox import unobserved

    return unobserved()
