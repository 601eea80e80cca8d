"""`dlt pipeline NAME run`."""

from __future__ import annotations

import argparse
from typing import Literal

from dlthub_project import current
from dlthub_project.cli.arguments import activate, add_project_arguments, at_least_one, names
from dlthub_project.cli.printing import print_row_counts, users_traceback
from dlthub_project.errors import EntityNotFound, known_names
from dlthub_project.runner import row_counts


class PipelineRunCommand:
    """Adds `run` to dlt's own `dlt pipeline NAME`."""

    parent = "pipeline"
    command = "run"
    compose: Literal["replace"] = "replace"
    help_string = "Run a pipeline that dlt.yml declares"
    description = "Runs a pipeline of the project and prints the rows that each table was given."
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
            manager.run(pipeline, limit=args.limit, resources=args.resources)
        where = f"{pipeline.dataset_name}@{pipeline.destination.destination_name}"
        print_row_counts(
            f"{pipeline.pipeline_name} -> {where} (profile {profile})", row_counts(pipeline)
        )
