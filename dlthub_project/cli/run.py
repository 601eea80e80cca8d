"""`dlt project run`: many pipelines, with what each is at."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import activate, add_format_argument, at_least_one
from dlthub_project.cli.command import FAILED, INTERRUPTED, Operation
from dlthub_project.cli.output import Table, cell, show
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from dlthub_project.data_quality import CheckResult
    from dlthub_project.runner import PipelineEvent, PipelineResult, PipelineResults


def _run(args: argparse.Namespace) -> None:
    from dlthub_project import PipelinesInterrupted, current

    profile = activate(args).profile
    manager = current.runner()
    names = args.names or manager.entities.list_pipelines()
    if not names:
        show(args, {"profile": profile, "pipelines": []}, "The project declares no pipeline.")
        return
    progress = _Progress(names)
    try:
        with progress.shown():
            results = manager.run_pipelines(
                names,
                max_workers=args.workers,
                fail_fast=args.fail_fast,
                hear=progress.hear,
            )
    except PipelinesInterrupted as interrupted:
        _show(args, profile, interrupted.results)
        print("Interrupted. What is extracted is loaded by the next run.", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    _show(args, profile, results)
    if not results.is_ok:
        raise SystemExit(FAILED)


def _show(args: argparse.Namespace, profile: str, results: PipelineResults) -> None:
    document = {
        "profile": profile,
        "pipelines": [
            {
                "name": name,
                "status": result.status,
                "rows": None if result.row_counts is None else dict(result.row_counts),
                "seconds": result.seconds,
                "waited": result.waited,
                "load_ids": list(result.load_info.loads_ids) if result.load_info else [],
                "error": None if result.error is None else str(result.error),
                "checks": checks_told(result.checks),
            }
            for name, result in results.items()
        ],
    }
    rows = [
        (name, one.status, one.rows, f"{one.seconds:.1f}", _why(one))
        for name, one in results.items()
    ]
    show(args, document, Table(("pipeline", "status", "rows", "seconds", "why"), rows))


def _why(result: PipelineResult) -> str | None:
    if result.error and not result.has_loaded:
        return str(result.error)
    return "; ".join(str(one) for one in result.checks if not one.passed) or None


def checks_told(results: Iterable[CheckResult]) -> list[dict[str, Any]]:
    """Return what checks have found, as the JSON of a command has it."""
    return [
        {
            "table": one.table,
            "check": one.check,
            "severity": one.severity,
            "status": one.status,
            "rows": None if one.error else one.rows,
            "failing": None if one.error else one.failing,
            "error": one.error or one.unchecked or None,
        }
        for one in results
    ]


class _Progress:
    """How far each pipeline is: a live table on a terminal, else a line for each change."""

    def __init__(self, names: list[str]) -> None:
        self._lock = threading.Lock()
        self._at = dict.fromkeys(names, "waits")
        self._rows: dict[str, int | None] = {}
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._is_live = sys.stderr.isatty()

    def hear(self, event: PipelineEvent) -> None:
        """Note a change, and show it."""
        with self._lock:
            name, result = event.pipeline, event.result
            self._at[name] = event.step if result is None else result.status
            if result is None:
                self._began.setdefault(name, time.monotonic())
            else:
                self._rows[name], self._took[name] = result.rows, result.seconds
        if self._is_live:
            return
        if result is None and event.step == "started":
            print(f"{name}: started", file=sys.stderr, flush=True)
        elif result is not None:
            told = _why(result)
            counted = "rows not counted" if result.rows is None else f"{result.rows} rows"
            rows = f", {counted}" if result.has_loaded else ""
            why = f"{rows}: {told}" if told else rows
            took = f" ({result.seconds:.1f} s)" if result.seconds else ""
            line = f"{name}: {result.status}{why}{took}"
            print(KNOWN.masked(line), file=sys.stderr, flush=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table on a terminal, as long as the block runs."""
        if not self._is_live:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        with Live(get_renderable=self._table, console=console, transient=True):
            yield

    def _table(self) -> Any:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable("pipeline", "step", "rows", "seconds", header_style="cyan")
        with self._lock:
            for name, step in self._at.items():
                seconds = self._took.get(name)
                if seconds is None and name in self._began:
                    seconds = time.monotonic() - self._began[name]
                cells = (
                    name,
                    step,
                    cell(self._rows[name]) if name in self._rows else "",
                    "" if seconds is None else f"{seconds:.1f}",
                )
                table.add_row(*map(Text, cells))
        return table


def _configure(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser)
    parser.add_argument("names", nargs="*", metavar="NAMES", help="Pipelines; by default all.")
    parser.add_argument(
        "--workers",
        type=at_least_one,
        metavar="N",
        help="How many run at once; by default as many as there are cores.",
    )
    parser.add_argument(
        "--fail-fast", action="store_true", help="Start nothing more after one has failed."
    )


RUN = Operation("run", "Run many pipelines, side by side where they can", _run, _configure)
