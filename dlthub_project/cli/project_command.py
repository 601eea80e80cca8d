"""`dlt project info`."""

from __future__ import annotations

import argparse
from typing import Literal

from dlthub_project.cli.arguments import activate, add_project_arguments
from dlthub_project.cli.printing import print_facts
from dlthub_project.context import Project


class ProjectCommand:
    """Adds `dlt project`."""

    parent: str | None = None
    command = "project"
    compose: Literal["additive"] = "additive"
    help_string = "Inspect the dltHub Project (dlt.yml) of this folder"
    description: str | None = help_string
    docs_url: str | None = None

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the subcommands."""
        self._parser = parser
        subcommands = parser.add_subparsers(title="Available subcommands", dest="operation")
        info = subcommands.add_parser("info", help="Show the project, its profile and entities")
        add_project_arguments(info)

    def execute(self, args: argparse.Namespace) -> None:
        """Print what the subcommand asks for."""
        if args.operation is None:
            self._parser.print_help()
            return
        print_facts(_facts(activate(args).project))


def _facts(project: Project) -> dict[str, str]:
    return {
        "project": project.name,
        "profile": f"{project.current_profile} (of {', '.join(project.profiles)})",
        "project folder": project.project_dir,
        "data folder": project.data_dir,
        "sources": ", ".join(project.sources) or "-",
        "destinations": ", ".join(project.destinations) or "-",
        "datasets": ", ".join(project.datasets) or "-",
        "pipelines": ", ".join(project.pipelines) or "-",
    }
