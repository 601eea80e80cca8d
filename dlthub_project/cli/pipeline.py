"""`dlt pipeline NAME run`, and the project arguments of dlt's own `dlt pipeline`."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import activate, add_project_arguments, at_least_one, names
from dlthub_project.cli.command import Operation, told_with_status

if TYPE_CHECKING:
    from dlt.common.configuration.plugins import SupportsCliCommand


def _run(args: argparse.Namespace) -> None:
    """Run the pipeline and print what was loaded."""
    from dlthub_project import current
    from dlthub_project.errors import EntityNotFound, known_names
    from dlthub_project.runner import row_counts

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


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=at_least_one, metavar="N", help="Load at most N pages of each resource."
    )
    parser.add_argument("--resources", type=names, metavar="A,B", help="Load these resources only.")


OPERATIONS = (Operation("run", "Run a pipeline that dlt.yml declares", _run, _configure_run),)


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
            # late: they import dlt
            from dlthub_project.context import PROFILE_VARIABLE, find_project_dir
            from dlthub_project.dlt_internals import contexts

            if hasattr(args, "profile"):
                # `show` opens a program of its own
                os.environ[PROFILE_VARIABLE] = args.profile
            is_asked = hasattr(args, "profile") or hasattr(args, "project")
            is_plain = type(contexts.active_run_context()) is contexts.PlainRunContext
            if is_asked or (is_plain and find_project_dir() is not None):
                # if it is plain, the program could not open this project
                with told_with_status():
                    activate(args)
            super().execute(args)

    return CommandOfProject


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


@contextmanager
def users_traceback(project_dir: str) -> Iterator[None]:
    """Print the traceback of an error in the project's own code, from its first frame there.

    The `dlt` program alone prints only the message.
    """
    from dlt.pipeline.exceptions import PipelineStepFailed

    from dlthub_project.errors import ProjectError
    from dlthub_project.secrets import KNOWN

    try:
        yield
    except (ProjectError, PipelineStepFailed):
        raise
    except Exception as error:
        shown = traceback.TracebackException.from_exception(error)
        own = [i for i, f in enumerate(shown.stack) if f.filename.startswith(project_dir)]
        del shown.stack[: own[0] if own else len(shown.stack)]
        sys.stderr.write(KNOWN.masked("".join(shown.format())))
        raise
