"""Commands for dlt's own `dlt` program: they parse and print, and leave the work to the runtime."""

from dlthub_project.cli.commands import PipelineRunCommand, ProjectCommand

__all__ = ["PipelineRunCommand", "ProjectCommand"]
