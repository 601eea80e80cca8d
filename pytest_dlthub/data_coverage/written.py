"""Reports of what is covered: a table in the terminal, JSON, Markdown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_dlthub.data_coverage.summary import TITLES, Summary, percent

# file names of those that are written, in the working directory
_FILES = {
    "json": "dlt-coverage.json",
    "markdown": "dlt-coverage.md",
    "markdown-append": "dlt-coverage.md",
}
_IN_TERMINAL = ("term", "term-missing")
_NOTHING = "there is nothing to cover: no source of a project, and none that tests imported"
_VERSION = 1


@dataclass(frozen=True)
class Report:
    """A report that was asked for.

    Attributes:
        kind: `term`, `term-missing`, `json`, `markdown` or `markdown-append`.
        path: The file that it is written to, if it is.
    """

    kind: str
    path: Path | None

    def write(self, summary: Summary) -> None:
        """Write it into its file, if it has one."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.kind == "json":
            text = json.dumps(as_json(summary), indent=2, sort_keys=False) + "\n"
            self.path.write_text(text, encoding="utf-8")
            return
        with self.path.open("a" if self.kind == "markdown-append" else "w", encoding="utf-8") as f:
            f.write(as_markdown(summary))

    def lines(self, summary: Summary, config: pytest.Config) -> Iterator[str]:
        """Yield its lines in the terminal; of a file, where it is."""
        if self.path is not None:
            folder, path = config.invocation_params.dir, self.path
            shown = path.relative_to(folder) if path.is_relative_to(folder) else path
            yield f"dlt coverage written to {shown}"
            return
        if not summary.total.count:
            yield _NOTHING
        else:
            yield from _table(summary, config)
        if summary.without_sandbox:
            yield _apart(summary)
        if self.kind == "term-missing":
            for name, figures in summary.dimensions.items():
                if figures.missed:
                    yield f"not {TITLES[name]}: {', '.join(summary.missing(name))}"
                if figures.unknown:
                    yield f"not known of {TITLES[name]}: {', '.join(summary.open(name))}"


def asked(config: pytest.Config) -> list[Report]:
    """Return the reports that were asked for; a table in the terminal, if none was.

    Raises:
        UsageError: One is not known.
    """
    found = []
    texts: list[str] = config.getoption("dlt_cov_report") or ["term"]
    for text in filter(None, texts):
        kind, colon, path = text.partition(":")
        if kind not in (*_IN_TERMINAL, *_FILES) or (colon and kind in _IN_TERMINAL):
            known = ", ".join((*_IN_TERMINAL, *(f"{name}[:PATH]" for name in _FILES)))
            raise pytest.UsageError(f"--dlt-cov-report: {known} are known, not {text!r}")
        file = Path(path or _FILES[kind]) if kind in _FILES else None
        # tests may change the working directory
        found.append(Report(kind, file and Path(config.invocation_params.dir, file)))
    return found


def as_json(summary: Summary) -> dict[str, Any]:
    """Return all of it as JSON has it."""
    return {
        "version": _VERSION,
        "percent": None if summary.total.percent is None else round(summary.total.percent, 2),
        "covered": len(summary.total.covered),
        "missing": len(summary.total.missed),
        "unknown": len(summary.total.unknown),
        "tests_without_sandbox": summary.without_sandbox,
        "dimensions": {
            name: {
                "title": TITLES[name],
                "covered": [summary.name(item) for item in figures.covered],
                "missing": [
                    {"name": summary.name(item), "reason": summary.facts.notes.get(item)}
                    for item in figures.missed
                ],
                "unknown": [summary.name(item) for item in figures.unknown],
            }
            for name, figures in summary.dimensions.items()
        },
    }


def as_markdown(summary: Summary) -> str:
    """Return the table, and what is missing below it, as Markdown."""
    if not summary.total.count:
        return f"## dlt coverage\n\n{_NOTHING}\n"
    lines = [
        f"## dlt coverage: {summary.percent_told}",
        "",
        "| | covered | of | unknown | |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, figures in summary.dimensions.items():
        cells = (len(figures.covered), figures.count, len(figures.unknown) or "")
        lines.append(f"| {TITLES[name]} | {' | '.join(map(str, cells))} | {percent(figures)} |")
    if summary.without_sandbox:
        lines += ["", _apart(summary)]
    for name, figures in summary.dimensions.items():
        for told, names in (
            (f"Not {TITLES[name]}", [*summary.missing(name)] if figures.missed else []),
            (f"Not known of {TITLES[name]}", [*summary.open(name)] if figures.unknown else []),
        ):
            if names:
                lines += ["", f"<details><summary>{told}: {len(names)}</summary>", ""]
                lines += [f"- `{one}`" for one in names]
                lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _apart(summary: Summary) -> str:
    count = summary.without_sandbox
    tests = "1 test runs" if count == 1 else f"{count} tests run"
    return (
        f"{tests} without a sandbox, and nothing is known of what they cover: ini option "
        "dlt_isolation = on"
    )


def _table(summary: Summary, config: pytest.Config) -> Iterator[str]:
    # here, and not above: it takes 30 ms
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("")
    for title in ("covered", "of", "unknown", ""):
        table.add_column(title, justify="right")
    for name, figures in (*summary.dimensions.items(), ("", summary.total)):
        table.add_row(
            TITLES.get(name, "all"),
            str(len(figures.covered)),
            str(figures.count),
            str(len(figures.unknown) or ""),
            percent(figures),
            end_section=name == [*summary.dimensions][-1],
        )
    out = io.StringIO()
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    has_colours = bool(reporter and reporter.hasmarkup)
    Console(file=out, width=80, force_terminal=has_colours, no_color=not has_colours).print(table)
    yield from (line.rstrip() for line in out.getvalue().splitlines())
