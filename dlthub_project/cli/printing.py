"""Prints tables, and the tracebacks of users' code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import ProjectError


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
    except (ProjectError, PipelineStepFailed):
        raise
    except Exception as error:
        shown = traceback.TracebackException.from_exception(error)
        own = [i for i, f in enumerate(shown.stack) if f.filename.startswith(project_dir)]
        del shown.stack[: own[0] if own else len(shown.stack)]
        sys.stderr.write("".join(shown.format()))
        raise
