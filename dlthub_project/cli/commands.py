"""The commands: `dlt pipeline NAME run` and `dlt project`."""

from __future__ import annotations

import argparse
from typing import Literal

from dlthub_project import current
from dlthub_project.cli.arguments import activate, add_project_arguments, at_least_one, names
from dlthub_project.cli.printing import print_facts, print_row_counts, users_traceback
from dlthub_project.context import Project
from dlthub_project.errors import EntityNotFound, known_names
from dlthub_project.runner import row_counts


class PipelineRunCommand:
    """Adds `run` to dlt's own `dlt pipeline NAME`."""

    parent = "pipeline"
    command = "run"
    compose: Literal["replace"] = "replace"
    help_string = "Run a pipeline that dlt.yml declares"
    description = "Runs a pipeline of the project and prints how many rows each table got."
    docs_url: str | None = None

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of `run`."""
        add_project_arguments(parser)
        parser.add_argument(
            "--limit", type=at_least_one, metavar="N", help="Load at most N pages of each resource."
        )
        parser.add_argument(
            "--resources", type=names, metavar="A,B", help="Load these resources only."
        )

    def execute(self, args: argparse.Namespace) -> None:
        """Run the pipeline and print what was loaded."""
        profile = activate(args).profile
        manager = current.runner()
        if args.pipeline_name is None:
            known = known_names("", manager.entities.list_pipelines())
            raise EntityNotFound(f"Name the pipeline: dlt pipeline NAME run. {known}")
        pipeline = manager.entities.get_pipeline(args.pipeline_name)
        with users_traceback(manager.entities.project.project_dir):
            info = manager.run(pipeline, limit=args.limit, resources=args.resources)
        where = f"{pipeline.dataset_name}@{pipeline.destination.destination_name}"
        print_row_counts(
            f"{pipeline.pipeline_name} -> {where} (profile {profile})", row_counts(pipeline, info)
        )


class ProjectCommand:
    """Adds `dlt project`."""

    parent: str | None = None
    command = "project"
    compose: Literal["additive"] = "additive"
    help_string = "Inspect the dltHub Project (dlt.yml) of this folder"
    description: str | None = help_string
    docs_url: str | None = None
    _parser: argparse.ArgumentParser

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
