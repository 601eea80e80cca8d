"""`dlt pipeline`: the operations of projects, beside those of dlt itself."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import (
    activate,
    add_format_argument,
    add_project_arguments,
    at_least_one,
    named_entity,
    names,
    names_to_list,
    several,
    take_options_anywhere,
)
from dlthub_project.cli.command import Operation, told_with_status
from dlthub_project.cli.output import Facts, NotConfirmed, Table, show, working
from dlthub_project.cli.run import checks_told
from dlthub_project.errors import EntityNotFound, ProjectError, known_names

if TYPE_CHECKING:
    from dlt.common.configuration.plugins import SupportsCliCommand

    from dlthub_project.context import Project
    from dlthub_project.data_quality import CheckResult


def _list(args: argparse.Namespace) -> None:
    import dlt

    from dlthub_project.entities import DatasetLocation, Datasets

    project = activate(args).project
    datasets, folder = Datasets(project), dlt.current.run_context().get_data_entity("pipelines")
    entries = []
    for name in names_to_list(args, "pipeline", project.manifest.names("pipelines")):
        entry = project.manifest.section("pipelines")[name]
        where: DatasetLocation | None = None
        with suppress(ProjectError):
            where = datasets.locate_pipeline(name)
        entries.append(
            {
                "name": name,
                "sources": several((entry or {}).get("source")),
                "dataset": where and where.dataset_name,
                "destination": where and where.destination_name,
                "has_run": Path(folder, name).is_dir(),
            }
        )
    rows = [tuple(entry.values()) for entry in entries]
    show(args, entries, Table(("pipeline", "sources", "dataset", "destination", "has run"), rows))


def _run(args: argparse.Namespace) -> None:
    """Run the pipeline and print what was loaded."""
    from dlthub_project import current
    from dlthub_project.runner import Steps, known_row_counts

    profile = activate(args).profile
    manager = current.runner()
    name = named_entity(args, "pipeline", manager.entities.list_pipelines())
    if args.pipelines_dir is not None:
        raise ProjectError(
            "--pipelines-dir is of dlt's own subcommands; `run` has the working folder of the "
            "project.",
            f"Leave it out, or set `pipelines_dir` in pipelines.{name} of the dlt.yml.",
        )
    pipeline = manager.entities.get_pipeline(name)
    checks = _Checks()
    with users_traceback(manager.entities.project.project_dir), working(f"{name}: starts") as tell:
        info = manager.run(
            pipeline,
            limit=args.limit,
            resources=args.resources,
            observers=[Steps(lambda _, step: tell(f"{name}: {step}")), checks],
        )
    where = f"{pipeline.dataset_name}@{pipeline.destination.destination_name}"
    known = known_row_counts(pipeline, info)
    counts = dict(sorted((known or {}).items()))
    document = {
        "name": name,
        "profile": profile,
        "dataset": pipeline.dataset_name,
        "destination": pipeline.destination.destination_name,
        "load_ids": info.loads_ids,
        "rows": None if known is None else counts,
        "checks": checks_told(checks.results),
    }
    title = f"{name} -> {where} (profile {profile})"
    if failed := [str(one) for one in checks.results if not one.passed]:
        title += f"; checks that do not hold: {'; '.join(failed)}"
    empty = "nothing new to load" if known is not None else "loaded; the rows are not counted"
    show(args, document, Table(("table", "rows"), list(counts.items()), title, empty))


class _Checks:
    """An observer that keeps what checks have found."""

    def __init__(self) -> None:
        self.results: Sequence[CheckResult] = ()

    def on_checks(self, pipeline: object, results: Sequence[CheckResult]) -> None:
        self.results = results


def _add(args: argparse.Namespace) -> None:
    from dlthub_project.manifest.editing import add_entries

    project = activate(args).project
    name = named_entity(args, "pipeline", ())
    for source in args.source:
        _check_known(project, "sources", source)
    _check_known(project, "destinations", args.destination)
    entry: dict[str, Any] = {
        "source": args.source[0] if len(args.source) == 1 else args.source,
        "destination": args.destination,
    }
    if args.dataset_name is not None:
        entry["dataset_name"] = args.dataset_name
    path = project.manifest.document.path
    add_entries(path, {("pipelines", name): entry})
    show(args, {"name": name, **entry}, f"Added pipeline `{name}` to {path}.")


def _test(args: argparse.Namespace) -> None:
    from dlthub_project import current
    from dlthub_project.first_test import write_first_test

    project = activate(args).project
    entities = current.entities()
    name = named_entity(args, "pipeline", entities.list_pipelines())
    file = re.sub(r"\W", "_", f"test_{name}")
    default = Path(project.project_dir, "tests", f"{file}.py")
    path = Path(args.output).absolute() if args.output else default
    if path.exists() and not args.force:
        raise NotConfirmed(
            f"{path} is there already. Nothing was written.",
            "Add --force to replace it, or --output FILE to write another one.",
        )
    with users_traceback(project.project_dir), working(f"{name}: records, and tries the test"):
        written = write_first_test(
            entities,
            name,
            path,
            rows=args.rows,
            limit=args.limit,
            names=args.resources,
            keep_values=args.keep_values,
            in_files=args.recorded,
        )
    document = {
        "name": name,
        "file": str(path),
        "rows": written.row_counts,
        "made_up": list(written.replaced),
        "not_compared": list(written.left_out),
    }
    counts = Table(("table", "rows"), list(written.row_counts.items()), "It passes", "no rows")
    facts = Facts({"made up": document["made_up"], "not compared": document["not_compared"]})
    show(args, document, f"Wrote {path}: edit it, and run pytest.", counts, facts)


def _check_known(project: Project, section: str, name: str) -> None:
    """Make sure that an entry may refer to `name`, without importing code.

    Raises:
        EntityNotFound: It is not declared, and is nothing that dlt or the project finds undeclared.
    """
    from dlthub_project.entities import DESTINATION_TYPES

    declared = project.manifest.names(section)
    if name in declared:
        return
    if project.allow_undefined_entities and (
        "." in name or (section == "destinations" and name in DESTINATION_TYPES)
    ):
        return
    raise EntityNotFound(
        f"There is no {section.removesuffix('s')} `{name}` in {project.manifest.document.path}. "
        f"{known_names(name, declared)}",
        f"Add it first: dlt {section.removesuffix('s')} {name} add.",
    )


def _configure_run(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser)
    parser.add_argument(
        "--limit", type=at_least_one, metavar="N", help="Load at most N pages of each resource."
    )
    parser.add_argument("--resources", type=names, metavar="A,B", help="Load these resources only.")


def _configure_test(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser)
    for option, text in (
        ("--rows", "Record at most N rows of each resource; by default 3."),
        ("--limit", "Ask each resource for at most N pages; by default 3."),
    ):
        parser.add_argument(option, type=at_least_one, default=3, metavar="N", help=text)
    parser.add_argument(
        "--resources", type=names, metavar="A,B", help="Record these resources only."
    )
    parser.add_argument(
        "--keep-values",
        action="store_true",
        help="Keep the values of columns that look personal; secrets are never kept.",
    )
    parser.add_argument(
        "--recorded",
        action="store_true",
        help="Put the rows into the files of a recording beside the test.",
    )
    parser.add_argument("--output", metavar="FILE", help="By default tests/test_NAME.py.")
    parser.add_argument("--force", action="store_true", help="Replace a file that is there.")


def _configure_add(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser)
    parser.add_argument("source", type=names, metavar="SOURCE", help="A source, or several: a,b.")
    parser.add_argument("destination", metavar="DESTINATION", help="The destination.")
    parser.add_argument("--dataset-name", metavar="NAME", help="The dataset; by default dlt's own.")


OPERATIONS = (
    Operation("list", "List the pipelines that dlt.yml declares", _list, add_format_argument),
    Operation("add", "Declare a pipeline in dlt.yml", _add, _configure_add),
    Operation("test", "Write a first test from a limited run of it", _test, _configure_test),
    Operation("run", "Run a pipeline that dlt.yml declares", _run, _configure_run),
)


def with_project_arguments(command: type[SupportsCliCommand]) -> type[SupportsCliCommand]:
    """Return dlt's own `command` with `--project` and `--profile`, before and after its subcommand.

    Args:
        command: A class that dlt's hook `plug_cli` returns, with subcommands.
    """

    class CommandOfProject(command):  # type: ignore[misc, valid-type]  # a class made for this call
        __doc__ = command.__doc__
        # dlt points there when a command fails; our operations are on another page
        docs_url: str | None = None

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
                    # a dlt that has it itself keeps its own
                    with suppress(argparse.ArgumentError):
                        subcommand.add_argument(
                            "--pipelines-dir",
                            default=argparse.SUPPRESS,
                            help="Pipelines working directory",
                        )
                take_options_anywhere(parser, subparsers.choices, ("--pipelines-dir",))

        def execute(self, args: argparse.Namespace) -> None:
            # late: they import dlt
            from dlthub_project.context import PROFILE_VARIABLE, find_project_dir
            from dlthub_project.dlt_internals import contexts

            if hasattr(args, "profile"):
                # `show` starts another program, which reads the variable
                os.environ[PROFILE_VARIABLE] = args.profile
            is_asked = hasattr(args, "profile") or hasattr(args, "project")
            is_plain = type(contexts.active_run_context()) is contexts.PlainRunContext
            if is_asked or (is_plain and find_project_dir() is not None):
                # with a plain context here, the program could not open this project: tell why
                with told_with_status():
                    activate(args)
            self.docs_url = command.docs_url
            super().execute(args)

    return CommandOfProject


@contextmanager
def users_traceback(project_dir: str) -> Iterator[None]:
    """Print the traceback of an error in the project's own code, from its first frame there.

    The `dlt` program alone prints only the message.
    """
    from dlt.pipeline.exceptions import PipelineStepFailed

    from dlthub_project.secrets import KNOWN

    try:
        yield
    except (ProjectError, PipelineStepFailed):
        raise
    except Exception as error:
        shown = traceback.TracebackException.from_exception(error)
        if _cut(shown, project_dir):
            sys.stderr.write(KNOWN.masked("".join(shown.format())))
        raise


def _cut(shown: traceback.TracebackException, project_dir: str) -> bool:
    """Cut a traceback to the frames from the project's code on; tell whether it has any.

    Causes without a frame of the project are left out.
    """
    causes = (shown.__cause__, shown.__context__)
    if not any(cause is not None and _cut(cause, project_dir) for cause in causes):
        shown.__cause__ = shown.__context__ = None
    own = [i for i, f in enumerate(shown.stack) if f.filename.startswith(project_dir)]
    del shown.stack[: own[0] if own else len(shown.stack)]
    return bool(own) or shown.__cause__ is not None or shown.__context__ is not None
