"""Runs pipelines: one made in code, or one that the manifest declares."""

from dlthub_project.runner.attempts import known_row_counts, row_counts, schema_changes
from dlthub_project.runner.many_pipelines import PipelineEvent
from dlthub_project.runner.observers import Observers, PlusLogCollector
from dlthub_project.runner.pipeline_manager import PipelineManager
from dlthub_project.runner.pipeline_requests import Steps
from dlthub_project.runner.pipeline_results import (
    PipelineFailure,
    PipelineResult,
    PipelineResults,
    PipelinesInterrupted,
)
from dlthub_project.runner.pipeline_runner import PipelineRunner, runner
from dlthub_project.runner.resume import finish_pending
from dlthub_project.runner.run_data import extractables, narrowed

__all__ = [
    "Observers",
    "PipelineEvent",
    "PipelineFailure",
    "PipelineManager",
    "PipelineResult",
    "PipelineResults",
    "PipelineRunner",
    "PipelinesInterrupted",
    "PlusLogCollector",
    "Steps",
    "extractables",
    "finish_pending",
    "known_row_counts",
    "narrowed",
    "row_counts",
    "runner",
    "schema_changes",
]
