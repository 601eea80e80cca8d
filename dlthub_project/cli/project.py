"""`dlt project`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlthub_project.cli.arguments import activate
from dlthub_project.cli.command import EntityCommand, Operation

if TYPE_CHECKING:
    from dlthub_project.context import Project


def _info(args: argparse.Namespace) -> None:
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


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


class ProjectCommand(EntityCommand):
    """Adds `dlt project`."""

    command = "project"
    help_string = "Make, inspect and check a dltHub Project (dlt.yml)"
    operations = (Operation("info", "Show the project, its profile and entities", _info),)
