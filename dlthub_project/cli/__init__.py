"""Commands for dlt's own `dlt` program: they parse and print, and leave the work to the runtime."""

from dlthub_project.cli.pipeline_command import PipelineRunCommand
from dlthub_project.cli.project_command import ProjectCommand

__all__ = ["PipelineRunCommand", "ProjectCommand"]
