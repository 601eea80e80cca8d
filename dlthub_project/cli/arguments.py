"""Arguments that all commands share."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import dlt

from dlthub_project import hub_finder
from dlthub_project.context import (
    ProjectRunContext,
    ensure_project,
    find_package,
    installed_packages,
)
from dlthub_project.errors import ProjectRunContextNotAvailable, known_names
from dlthub_project.manifest import FILE_NAME
from dlthub_project.packaging import activate_package


def add_project_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--project` and `--profile`."""
    parser.add_argument(
        "--project",
        metavar="DIR_OR_PACKAGE",
        help="Folder of the dlt.yml, or an installed package; by default found as dlt does.",
    )
    parser.add_argument(
        "--profile",
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
    if args.project is None or (Path(args.project) / FILE_NAME).is_file():
        return ensure_project(args.project, args.profile)
    package = find_package(args.project)
    if package is None:
        raise ProjectRunContextNotAvailable(
            f"No dltHub Project: there is no {FILE_NAME} in {Path(args.project).absolute()}, and "
            f"no installed package of that name. {known_names(args.project, installed_packages())}",
            "Name the folder of a dlt.yml, or a package with an entry point in `dlt_package`.",
        )
    return ensure_project(str(package), args.profile) if args.profile else activate_package(package)


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
