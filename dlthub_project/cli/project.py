"""`dlt project`: the project as a whole."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import activate, add_format_argument, checked
from dlthub_project.cli.command import EntityCommand, Operation
from dlthub_project.cli.config import CONFIG
from dlthub_project.cli.output import Facts, Table, confirm, show
from dlthub_project.cli.profile import profiles_of, where_from
from dlthub_project.cli.run import RUN
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlthub_project.context import Project


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


def _configure_init(parser: argparse.ArgumentParser) -> None:
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


def _list(args: argparse.Namespace) -> None:
    from dlthub_project.context import find_project_dir, installed_packages

    found: list[tuple[str, Path, str]] = []
    here = find_project_dir()
    if here is not None:
        found.append((here.name, here, "this folder"))
    found += [(name, path, "package") for name, path in installed_packages().items()]
    document = [{"name": name, "folder": str(path), "kind": kind} for name, path, kind in found]
    table = Table(
        ("name", "folder", "kind"),
        found,
        empty="No dlt.yml here or above, and no package with one is installed. "
        "`dlt project init` makes a project.",
    )
    show(args, document, table)


def _info(args: argparse.Namespace) -> None:
    from dlthub_project.manifest import SECTIONS

    project = activate(args).project
    document = _document(project)
    profiles = [f"{p['name']} ({where_from(p)})" for p in document["profiles"]]
    facts = {
        "project": project.name,
        "project folder": project.project_dir,
        "profile": project.current_profile,
        "profiles": profiles,
        "data folder": project.data_dir,
        **{section: list(document[section]) for section in SECTIONS},
    }
    show(args, document, Facts(facts))


def _document(project: Project) -> dict[str, Any]:
    from dlthub_project.manifest import SECTIONS

    return {
        "name": project.name,
        "project_dir": project.project_dir,
        "data_dir": project.data_dir,
        "local_dir": project.local_dir,
        "profile": project.current_profile,
        "profiles": profiles_of(project),
        **{section: list(project.manifest.names(section)) for section in SECTIONS},
    }


def _clean(args: argparse.Namespace) -> None:
    from dlthub_project.context import local_data_of, remove_local_data
    from dlthub_project.sandbox import active_sandbox

    # not `opened`: in the sandbox of a test, this removes the data of the sandbox
    project = activate(args).project
    folders = local_data_of(
        project,
        skip_data_dir=args.skip_data_dir,
        is_sandboxed=active_sandbox() is not None,
    )
    # a new folder holds a `.gitignore` before it holds any data
    if not any(
        set(files) - {".gitignore"} for folder in folders for _, _, files in os.walk(folder)
    ):
        print(f"There is no local data of profile {project.current_profile}.")
        return
    listed = ", ".join(map(str, folders))
    confirm(f"Remove the local data of profile {project.current_profile}: {listed}?")
    remove_local_data(folders)
    print(f"Removed {listed}. What is at remote destinations stays.")


def _configure_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-data-dir",
        action="store_true",
        help="Keep the working folders of pipelines; remove only what local destinations have.",
    )


def _check(args: argparse.Namespace) -> None:
    profile, built = checked(args)
    document = {"profile": profile, "built": built}
    show(args, document, f"Profile {profile}: {len(built)} entities can be built.")


class ProjectCommand(EntityCommand):
    """Adds `dlt project`."""

    command = "project"
    help_string = "Make, inspect and check a dltHub Project (dlt.yml)"
    operations = (
        Operation(
            "init",
            "Make a project here that runs, and whose test passes, at once",
            _init,
            _configure_init,
        ),
        Operation("list", "List the project here and installed ones", _list, add_format_argument),
        Operation(
            "info", "Show the project, its profiles and entities", _info, add_format_argument
        ),
        Operation(
            "clean",
            "Remove the local data of a profile, and nothing remote; asks first",
            _clean,
            _configure_clean,
        ),
        CONFIG,
        RUN,
        Operation(
            "check",
            "Build every entity of a profile, without secrets and connections",
            _check,
            add_format_argument,
        ),
    )
