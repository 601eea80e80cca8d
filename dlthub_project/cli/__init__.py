"""Commands of the `dlt` program: they parse and print, and the runtime does the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dlthub_project.cli.command import subcommand_of
from dlthub_project.cli.dataset import DatasetCommand
from dlthub_project.cli.entities import DestinationCommand, SourceCommand
from dlthub_project.cli.pipeline import OPERATIONS, with_project_arguments
from dlthub_project.cli.profile import ProfileCommand
from dlthub_project.cli.project import ProjectCommand
from dlthub_project.cli.transformation import CacheCommand, TransformationCommand

if TYPE_CHECKING:
    from dlt.common.configuration.plugins import SupportsCliCommand

__all__ = ["commands_beside"]

_COMMANDS = (
    ProjectCommand,
    ProfileCommand,
    SourceCommand,
    DestinationCommand,
    DatasetCommand,
    TransformationCommand,
    CacheCommand,
)


def commands_beside(
    commands: Iterable[type[SupportsCliCommand] | None],
) -> list[type[SupportsCliCommand]]:
    """Return the commands of dlt and of other plugins, and ours.

    dlt's own `dlt pipeline` takes `--project` and `--profile`, and has our operations too. A word
    that another plugin has is left to it: dlt's program would not start with two of a kind.
    """
    others = [command for command in commands if command is not None]
    taken = {command.command for command in others if getattr(command, "parent", None) is None}
    return [
        *(
            with_project_arguments(command)
            if command.command == "pipeline" and getattr(command, "parent", None) is None
            else command
            for command in others
        ),
        *(subcommand_of("pipeline", operation) for operation in OPERATIONS),
        *(command for command in _COMMANDS if command.command not in taken),
    ]
