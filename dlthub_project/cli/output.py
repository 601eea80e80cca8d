"""What commands print, and what they ask before they remove or overwrite."""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dlthub_project.errors import ProjectError
from dlthub_project.secrets import KNOWN

_NOTHING_DONE = "Nothing was removed."


class NotConfirmed(ProjectError):
    """Nobody has agreed that something is removed or overwritten."""


def confirm(question: str) -> None:
    """Ask on the terminal before something is removed or overwritten.

    dlt's `--yes`, at any place of the command line, answers the question.

    Args:
        question: A sentence that ends with a question mark and names all that will be gone.

    Raises:
        NotConfirmed: The answer is not yes, or there is no terminal to ask on.
    """
    # late: it imports dlt's commands
    from dlthub_project.dlt_internals import command_line

    if command_line.is_confirmed():
        return
    if not command_line.is_interactive() or not sys.stdin.isatty():
        raise NotConfirmed(
            f"{_NOTHING_DONE} There is no terminal to ask on: {question}",
            "Add --yes to agree in a script.",
        )
    # on stderr: the output may go to a file
    print(KNOWN.masked(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotConfirmed(_NOTHING_DONE)


@dataclass(frozen=True)
class Table:
    """Rows for people, with a heading for each column.

    Attributes:
        columns: The headings.
        rows: Cells in the order of `columns`; numbers stand to the right.
        title: A line above; none if empty.
        empty: What is printed where there are no rows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    empty: str = "There is none."


@dataclass(frozen=True)
class Facts:
    """Names and values in two columns; a list of values is joined with commas."""

    values: Mapping[str, object]
    title: str = ""


def is_json(args: argparse.Namespace) -> bool:
    """Return whether a script reads what the command prints."""
    return getattr(args, "format", "") == "json"


def show(args: argparse.Namespace, document: object, *parts: Table | Facts | str) -> None:
    """Print a result: `document` with `--format json`, else `parts`. Secrets are masked.

    Args:
        args: The arguments of the command.
        document: What is printed as JSON, with the keys that the reference page documents.
        parts: What people read.
    """
    if is_json(args):
        # `\u00e9` is JSON where the output is not; `\xe9` is not
        is_unicode = str(sys.stdout.encoding).lower().startswith("utf")
        text = json.dumps(_json(document), indent=2, ensure_ascii=not is_unicode, allow_nan=False)
        print(text)
        return
    for part in parts:
        if isinstance(part, Table):
            _print_table(part)
        elif isinstance(part, Facts):
            _print_facts(part)
        else:
            print(KNOWN.masked(part))


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show on the terminal that something runs, and for how long; nothing in a pipe.

    It goes to stderr, so that the output stays what it is.

    Args:
        text: What runs.

    Yields:
        A function that changes the text.
    """
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda text: progress.update(task, description=text)


def is_for_people() -> bool:
    """Return whether the output goes to a terminal, not into a pipe or a file."""
    return sys.stdout.isatty()


def cell(value: object) -> str:
    """Return a value as one line of text: numbers with commas, `-` for nothing."""
    if value is None or value == "" or value == [] or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(cell(item) for item in value)
    text = KNOWN.masked(
        bytes(value).hex() if isinstance(value, (bytes, memoryview)) else str(value)
    )
    # values come from data: no line break may end a row, and no escape code reach the terminal
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _print_table(table: Table) -> None:
    if not table.rows:
        print(KNOWN.masked(f"{table.title}: {table.empty}" if table.title else table.empty))
        return
    if table.title:
        print(KNOWN.masked(table.title))
    rows = [[cell(value) for value in row] for row in table.rows]
    right = [
        all(isinstance(row[i], (int, float)) and not isinstance(row[i], bool) for row in table.rows)
        for i in range(len(table.columns))
    ]
    if is_for_people():
        _print_boxed(table.columns, rows, right)
        return
    lines = [list(table.columns), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        texts = (f"{c:>{w}}" if is_right else f"{c:<{w}}" for c, w, is_right in cells)
        print("  ".join(texts).rstrip())


def _print_boxed(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    boxed = RichTable(header_style="cyan")
    for name, is_right in zip(columns, right, strict=True):
        # what is wider than the terminal continues on the next line
        boxed.add_column(
            Text(name), justify="right" if is_right else "left", overflow="fold", no_wrap=is_right
        )
    for row in rows:
        boxed.add_row(*(Text(text) for text in row))
    # the console looks at NO_COLOR, TERM and COLUMNS
    Console(highlight=False).print(boxed)


def _print_facts(facts: Facts) -> None:
    if facts.title:
        print(KNOWN.masked(facts.title))
    width = max((len(name) for name in facts.values), default=0)
    for name, value in facts.values.items():
        print(f"{name:<{width}}  {cell(value)}".rstrip())


def _json(value: Any) -> Any:
    """Return a value as JSON has it: decimals, UUIDs and times as text, bytes as base64."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return KNOWN.masked(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json(item) for item in value]
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return KNOWN.masked(str(value))
