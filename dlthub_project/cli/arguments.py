"""Arguments that all commands share."""

from __future__ import annotations

import argparse
import importlib
import sys

import dlt

from dlthub_project.context import ProjectRunContext, ensure_project
from dlthub_project.hub import finder


def add_project_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--project` and `--profile`."""
    parser.add_argument(
        "--project", metavar="DIR", help="Folder of the dlt.yml; by default found as dlt does."
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="Profile; by default as pinned or declared."
    )


def activate(args: argparse.Namespace) -> ProjectRunContext:
    """Activate the project and profile that the arguments name, for code that uses `dlt.hub`."""
    finder.install()
    if not dlt.hub.__found__:
        # without a `.pth` line (`python -S`), dlt has looked for it in vain when it was imported;
        # `reload` does not serve: what the first try left raises in the second
        del sys.modules["dlt.hub"]
        importlib.import_module("dlt.hub")
    return ensure_project(args.project, args.profile)


def at_least_one(text: str) -> int:
    """Return `text` as a count, for `argparse`."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {count}")
    return count


def names(text: str) -> list[str]:
    """Return the names in a list with commas, for `argparse`."""
    found = [name.strip() for name in text.split(",")]
    return [name for name in found if name]
