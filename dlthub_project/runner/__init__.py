"""Runs pipelines: one made in code, or one that the manifest declares."""

from dlthub_project.runner.manager import PipelineManager
from dlthub_project.runner.run import PipelineRunner, row_counts, runner
from dlthub_project.runner.selection import extractables, narrowed

__all__ = [
    "PipelineManager",
    "PipelineRunner",
    "extractables",
    "narrowed",
    "row_counts",
    "runner",
]
