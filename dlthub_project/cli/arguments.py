"""Arguments that all commands share, and the project that they name."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlthub_project.context import Project, ProjectRunContext


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


def take_options_anywhere(
    parser: argparse.ArgumentParser, words: Container[str], with_value: Iterable[str] = ()
) -> None:
    """Let a parser with a name and subcommands take options between the two.

    argparse takes a name that an option follows for the subcommand.

    Args:
        parser: The parser; it is changed in place.
        words: The subcommands, also those that are added later.
        with_value: Options of the parser that have a value, beside `--project` and `--profile`.
    """
    parse, valued = parser.parse_known_args, ("--project", "--profile", *with_value)

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        return parse(args and _options_first(list(args), words, valued), namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]  # of this parser alone


def _options_first(args: list[str], words: Container[str], valued: Container[str]) -> list[str]:
    """Return arguments with the options that stand before the subcommand in front of the name."""
    options: list[str] = []
    positional: list[str] = []
    at = 0
    while at < len(args) and args[at] != "--" and not (positional and positional[-1] in words):
        if args[at].startswith("-"):
            size = 2 if args[at] in valued else 1
            options += args[at : at + size]
            at += size
        else:
            positional.append(args[at])
            at += 1
    return [*options, *positional, *args[at:]]


def add_format_argument(
    parser: argparse.ArgumentParser, formats: tuple[str, ...] = ("text", "json")
) -> None:
    """Add `--format`; the first of `formats` is the default."""
    parser.add_argument(
        "--format",
        choices=formats,
        default=formats[0],
        help=f"How to print; by default {formats[0]}.",
    )


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


def several(names: Any) -> list[str]:
    """Return the names of a value of a manifest that is one name, a list of them, or nothing."""
    return [names] if isinstance(names, str) else list(names or ())


def named_entity(args: argparse.Namespace, kind: str, known: Iterable[str]) -> str:
    """Return the name that stands before the operation, as in `dlt dataset NAME info`.

    Args:
        args: The arguments.
        kind: The word of the command.
        known: The names that the project has.

    Raises:
        EntityNotFound: There is none.
    """
    from dlthub_project.errors import EntityNotFound, known_names

    name: str | None = args.pipeline_name if kind == "pipeline" else args.name
    if name is None:
        raise EntityNotFound(
            f"Name the {kind}: dlt {kind} NAME {args.operation}. {known_names('', known)}"
        )
    return name


def names_to_list(args: argparse.Namespace, kind: str, known: Iterable[str]) -> list[str]:
    """Return the known names, or only the one that stands before the operation.

    Raises:
        EntityNotFound: The project does not have it.
    """
    from dlthub_project.errors import EntityNotFound, known_names

    names_, name = list(known), args.pipeline_name if kind == "pipeline" else args.name
    if name is not None and name not in names_:
        raise EntityNotFound(f"There is no {kind} `{name}`. {known_names(name, names_)}")
    return names_ if name is None else [name]


def activate(args: argparse.Namespace) -> ProjectRunContext:
    """Activate the project and profile that the arguments name, and make `dlt.hub` work.

    Raises:
        ProjectError: As `ensure_project`; or no folder and no package has this name.
    """
    import dlt

    from dlthub_project import hub_finder
    from dlthub_project.context import ensure_project
    from dlthub_project.packaging import activate_package

    hub_finder.install()
    if not dlt.hub.__found__:
        # without a `.pth` line (`python -S`), `import dlt` did not find `dlthub`. `reload` does not
        # help, because the second try stumbles over what the first one left
        del sys.modules["dlt.hub"]
        importlib.import_module("dlt.hub")
    folder, is_package = _named_folder(args)
    profile: str | None = getattr(args, "profile", None)
    if is_package and profile is None:
        return activate_package(Path(str(folder)))
    return ensure_project(folder, profile)


def opened(args: argparse.Namespace) -> Project:
    """Return the project that the arguments name, without activating it.

    For commands that only list: dlt keeps its context, and no folder is made.

    Raises:
        ProjectError: As `activate`.
    """
    from dlthub_project.context import open_project

    folder, is_package = folder_of(args)
    profile: str | None = getattr(args, "profile", None)
    if is_package and profile is None:
        from dlthub_project.packaging import profile_of_package

        profile = profile_of_package(folder)
    return open_project(folder, profile)


def folder_of(args: argparse.Namespace) -> tuple[Path, bool]:
    """Return the folder of the project that the arguments name, and whether they name a package.

    The `dlt.yml` is not read.

    Raises:
        ProjectRunContextNotAvailable: There is none.
    """
    from dlthub_project.context import find_project_dir
    from dlthub_project.context.run_context import not_found

    named, is_package = _named_folder(args)
    folder = find_project_dir(named)
    if folder is None:
        raise not_found(named)
    return folder, is_package


def checked(
    args: argparse.Namespace, kind: str = "", name: str | None = None
) -> tuple[str, list[str]]:
    """Build what the project declares, as `check_profile`; return the profile and what was built.

    Raises:
        ProjectError: As `check_profile`.
    """
    import tempfile

    from dlthub_project.profile_check import check_profile
    from dlthub_project.sandbox import Sandbox

    project = opened(args)
    with tempfile.TemporaryDirectory(prefix="dlt-check-") as folder:
        sandbox = Sandbox(folder, project.root_dir, os.getcwd(), secrets="none")
        profile = project.current_profile
        return profile, check_profile(project, profile, sandbox, kind, name)


def _named_folder(args: argparse.Namespace) -> tuple[str | None, bool]:
    """Return the folder that `--project` names or None, and whether it is that of a package."""
    from dlthub_project.context import find_package, installed_packages
    from dlthub_project.errors import ProjectRunContextNotAvailable, known_names
    from dlthub_project.manifest import FILE_NAME

    asked: str | None = getattr(args, "project", None)
    if asked is None or (Path(asked) / FILE_NAME).is_file():
        return asked, False
    package = find_package(asked)
    if package is None:
        raise ProjectRunContextNotAvailable(
            f"No dltHub Project: there is no {FILE_NAME} in {Path(asked).absolute()}, and "
            f"no installed package of that name. {known_names(asked, installed_packages())}",
            "Name the folder of a dlt.yml, or a package with an entry point in `dlt_package`.",
        )
    return str(package), True
