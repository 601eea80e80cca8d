"""`dlt project init`: a new project in the working directory."""

from __future__ import annotations

import argparse
from pathlib import Path

from dlthub_project.cli.command import Operation
from dlthub_project.errors import ProjectError


def _init(args: argparse.Namespace) -> None:
    from dlthub_project.scaffold import NewProject, write_project

    folder = Path(getattr(args, "project", "."))
    if not folder.is_dir():
        raise ProjectError(f"There is no folder {folder.absolute()}.", "Make it first.")
    project = NewProject(
        args.project_name or folder.absolute().name,
        args.source,
        args.destination,
        is_package=args.package,
    )
    written = write_project(project, folder, force=args.force)
    for path in written:
        print(path)
    where = f" in package {project.module}" if project.is_package else ""
    inside = f" --project {project.module}" if project.is_package else ""
    print(f"\nProject {project.name}{where}: {args.source} into {args.destination}.")
    if project.production:
        print(
            f"Profile {project.production} loads into {args.destination}, and needs what "
            f".dlt/{project.production}.secrets.toml lists; profile dev loads into a DuckDB file."
        )
    print(f"Test it with `pytest`; run it with `dlt pipeline {project.pipeline} run{inside}`.")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        default="python",
        metavar="SOURCE",
        help="What to load; `dlt source list-available` lists the words. By default python.",
    )
    parser.add_argument(
        "destination",
        nargs="?",
        default="duckdb",
        metavar="DESTINATION",
        help="Where to, of `dlt destination list-available`. By default duckdb.",
    )
    parser.add_argument(
        "--project-name", metavar="NAME", help="Name; by default that of the folder."
    )
    parser.add_argument(
        "--package", action="store_true", help="Make a Python package, to install and import."
    )
    parser.add_argument("--force", action="store_true", help="Overwrite files that are there.")


INIT = Operation(
    "init", "Make a project here that runs, and whose test passes, at once", _init, _configure
)
