"""Arguments that all commands share."""

from __future__ import annotations

import argparse

from dlthub_project.context import ProjectRunContext, ensure_project


def add_project_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--project` and `--profile`."""
    parser.add_argument(
        "--project", metavar="DIR", help="Folder of the dlt.yml; by default found as dlt does."
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="Profile; by default as pinned or declared."
    )


def activate(args: argparse.Namespace) -> ProjectRunContext:
    """Activate the project and profile that the arguments name."""
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
