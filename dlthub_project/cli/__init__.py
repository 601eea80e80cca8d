"""Commands of the `dlt` program: they parse and print, and the runtime does the work."""

from dlthub_project.cli.commands import (
    PipelineRunCommand,
    ProjectCommand,
    with_project_arguments,
)

__all__ = ["PipelineRunCommand", "ProjectCommand", "with_project_arguments"]
