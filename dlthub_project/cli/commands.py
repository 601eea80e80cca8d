"""The commands: `dlt pipeline NAME run` and `dlt project`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dlt
from dlt.common.configuration.plugins import SupportsCliCommand
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import current, hub_finder
from dlthub_project.context import (
    PROFILE_VARIABLE,
    Project,
    ProjectRunContext,
    ensure_project,
    find_package,
    installed_packages,
)
from dlthub_project.errors import (
    EntityNotFound,
    ProjectError,
    ProjectRunContextNotAvailable,
    known_names,
)
from dlthub_project.manifest import FILE_NAME
from dlthub_project.packaging import activate_package
from dlthub_project.runner import row_counts
from dlthub_project.secrets import KNOWN


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
        add_project_arguments(parser)
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


def with_project_arguments(command: type[SupportsCliCommand]) -> type[SupportsCliCommand]:
    """Return dlt's own `command` with `--project` and `--profile`, before and after its subcommand.

    Args:
        command: A class that dlt's hook `plug_cli` returns, with subcommands.
    """

    class CommandOfProject(command):  # type: ignore[misc, valid-type]  # a class made for this call
        __doc__ = command.__doc__

        def configure_parser(self, parser: argparse.ArgumentParser) -> None:
            add_subparsers = parser.add_subparsers
            added: list[Any] = []

            def add_and_note(**arguments: Any) -> Any:
                added.append(add_subparsers(**arguments))
                return added[-1]

            # argparse tells nobody else which subcommands a parser has
            parser.add_subparsers = add_and_note  # type: ignore[method-assign]
            super().configure_parser(parser)
            add_project_arguments(parser)
            for subparsers in added:
                for subcommand in subparsers.choices.values():
                    add_project_arguments(subcommand)

        def execute(self, args: argparse.Namespace) -> None:
            if hasattr(args, "profile"):
                # `show` opens a program of its own
                os.environ[PROFILE_VARIABLE] = args.profile
            if hasattr(args, "profile") or hasattr(args, "project"):
                activate(args)
            super().execute(args)

    return CommandOfProject


def add_project_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--project` and `--profile`; one that is not given is not in the namespace."""
    # with a default, a subcommand would overwrite what stands before it
    parser.add_argument(
        "--project",
        default=argparse.SUPPRESS,
        metavar="DIR_OR_PACKAGE",
        help="Folder of the dlt.yml, or an installed package; by default found as dlt does.",
    )
    parser.add_argument(
        "--profile",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="Profile; by default as pinned or declared, and `access` of a package.",
    )


def activate(args: argparse.Namespace) -> ProjectRunContext:
    """Activate the project and profile that the arguments name, and make `dlt.hub` work."""
    hub_finder.install()
    if not dlt.hub.__found__:
        # without a `.pth` line (`python -S`), `import dlt` did not find `dlthub`. `reload` does not
        # help, because the second try stumbles over what the first one left
        del sys.modules["dlt.hub"]
        importlib.import_module("dlt.hub")
    asked: str | None = getattr(args, "project", None)
    profile: str | None = getattr(args, "profile", None)
    if asked is None or (Path(asked) / FILE_NAME).is_file():
        return ensure_project(asked, profile)
    package = find_package(asked)
    if package is None:
        raise ProjectRunContextNotAvailable(
            f"No dltHub Project: there is no {FILE_NAME} in {Path(asked).absolute()}, and "
            f"no installed package of that name. {known_names(asked, installed_packages())}",
            "Name the folder of a dlt.yml, or a package with an entry point in `dlt_package`.",
        )
    return ensure_project(str(package), profile) if profile else activate_package(package)


def at_least_one(text: str) -> int:
    """Return `text` as a count, for `argparse`."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {count}")
    return count


def names(text: str) -> list[str]:
    """Return the names in a text with commas, for `argparse`."""
    found = [name.strip() for name in text.split(",")]
    return [name for name in found if name]


def print_row_counts(title: str, counts: Mapping[str, int]) -> None:
    """Print the number of rows of each table, or that there was nothing to load."""
    from rich.console import Console
    from rich.table import Table

    if not counts:
        print(f"{title}: nothing new to load")
        return
    print(title)
    table = Table()
    # a name that is wider than the terminal continues on the next line
    table.add_column("table", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    for name, rows in sorted(counts.items()):
        table.add_row(name, f"{rows:,}")
    Console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


@contextmanager
def users_traceback(project_dir: str) -> Iterator[None]:
    """Print the traceback of an error in the project's own code, from its first frame there.

    The `dlt` program alone prints only the message.
    """
    try:
        yield
    except (ProjectError, PipelineStepFailed) as error:
        # the `dlt` program prints what the error says, and the project's code may say a secret
        told = str(error)
        if (masked := KNOWN.masked(told)) != told:
            raise ProjectError(masked) from None
        raise
    except Exception as error:
        shown = traceback.TracebackException.from_exception(error)
        own = [i for i, f in enumerate(shown.stack) if f.filename.startswith(project_dir)]
        del shown.stack[: own[0] if own else len(shown.stack)]
        sys.stderr.write(KNOWN.masked("".join(shown.format())))
        raise
