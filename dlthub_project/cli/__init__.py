"""Commands of the `dlt` program: they parse and print, and the runtime does the work."""

from dlthub_project.cli.commands import PipelineRunCommand, ProjectCommand

__all__ = ["PipelineRunCommand", "ProjectCommand"]
