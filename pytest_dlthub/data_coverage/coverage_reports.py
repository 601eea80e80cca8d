"""The reports of `--dlt-cov`: what tests have covered, as a table, as JSON and as Markdown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_dlthub.data_coverage.facts import DIMENSIONS, Facts, Figures, Item, by_dimension
from pytest_dlthub.data_coverage.source_owners import shown_name

TITLES = {
    "pipelines": "pipelines run",
    "sources": "sources run",
    "resources": "resources run",
    "tables": "tables loaded",
    "columns": "columns loaded",
    "reads": "columns looked at",
    "dispositions": "write dispositions run twice",
    "cursors": "cursors run twice",
    "keys": "merge keys met again",
    "contracts": "contracts breached",
    "profiles": "profiles checked",
}


@dataclass(frozen=True)
class Summary:
    """What a session has covered.

    Attributes:
        facts: What the session knows.
        without_sandbox: How many tests have passed without a sandbox; what they cover is unknown.
    """

    facts: Facts
    without_sandbox: int

    @cached_property
    def dimensions(self) -> dict[str, Figures]:
        """The figures of each dimension that has items."""
        return {name: figures for name, figures in by_dimension(self.facts) if figures.count}

    @cached_property
    def total(self) -> Figures:
        """The figures of all dimensions together."""
        return Figures.of(self.facts, (item for item in self.facts.known if item[0] in DIMENSIONS))

    @property
    def percent_shown(self) -> str:
        """The percentage of items that tests have covered, rounded down."""
        return percent_shown(self.total)

    def is_below(self, minimum: float | None) -> bool:
        """Tell whether tests cover less than `minimum` percent; without any item they cover 0 %."""
        return minimum is not None and (self.total.percent or 0.0) < minimum

    def name(self, item: Item) -> str:
        """Return an item as reports show it: `shop.orders.price`."""
        dimension, first, *rest = item
        if dimension in ("pipelines", "profiles"):
            return first
        owner = shown_name(first, self._owners)
        if dimension in ("dispositions", "keys", "contracts"):
            *place, last = rest
            return f"{'.'.join([owner, *filter(None, place)])}: {last}"
        return ".".join([owner, *rest])

    def missing(self, dimension: str) -> Iterator[str]:
        """Yield what no test has covered, with the reason if known; a whole table is one name."""
        missed = self.dimensions[dimension].missed
        yield from self._names(missed)

    def open(self, dimension: str) -> Iterator[str]:
        """Yield what a test may have covered."""
        yield from self._names(self.dimensions[dimension].unknown)

    def _names(self, items: tuple[Item, ...]) -> Iterator[str]:
        whole = set()
        for item in items:
            place = item[:3]
            if len(item) == 4 and item[0] in ("columns", "reads"):
                of_table = [one for one in self.facts.known if one[:3] == place]
                if len(of_table) > 1 and set(of_table) <= set(items):
                    if place not in whole:
                        whole.add(place)
                        yield f"{self.name(place)}.*"
                    continue
            note = self.facts.notes.get(item)
            yield f"{self.name(item)} ({note})" if note else self.name(item)

    @cached_property
    def _owners(self) -> set[str]:
        return {item[1] for item in self.facts.known if item[0] == "sources"}


def percent_shown(figures: Figures) -> str:
    """Return the percentage of items that tests have covered, rounded down."""
    found = figures.percent
    if found is None:
        return "-"
    return f"{int(found * 10) / 10:g} %"


# the names of the files, in the working directory
_FILES = {
    "json": "dlt-coverage.json",
    "markdown": "dlt-coverage.md",
    "markdown-append": "dlt-coverage.md",
}
_IN_TERMINAL = ("term", "term-missing")
_NOTHING = "there is nothing to cover: no project has a source, and tests have imported none"
_VERSION = 1


@dataclass(frozen=True)
class Report:
    """A report that was asked for.

    Attributes:
        kind: `term`, `term-missing`, `json`, `markdown` or `markdown-append`.
        path: The file that it goes to; None for the terminal.
    """

    kind: str
    path: Path | None

    def write(self, summary: Summary) -> None:
        """Write the report into its file, if it has one."""
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
        """Yield the lines for the terminal; for a report in a file, one that names the file."""
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
                    yield f"missing from {TITLES[name]}: {', '.join(summary.missing(name))}"
                if figures.unknown:
                    yield f"unknown in {TITLES[name]}: {', '.join(summary.open(name))}"


def requested_reports(config: pytest.Config) -> list[Report]:
    """Return the reports that the options ask for; a table in the terminal, if they name none.

    Raises:
        UsageError: There is no such report.
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
    """Return the whole report as values of JSON."""
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
    """Return the table as Markdown, and below it what tests do not cover."""
    if not summary.total.count:
        return f"## dlt coverage\n\n{_NOTHING}\n"
    lines = [
        f"## dlt coverage: {summary.percent_shown}",
        "",
        "| | covered | of | unknown | |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, figures in summary.dimensions.items():
        cells = (len(figures.covered), figures.count, len(figures.unknown) or "")
        lines.append(
            f"| {TITLES[name]} | {' | '.join(map(str, cells))} | {percent_shown(figures)} |"
        )
    if summary.without_sandbox:
        lines += ["", _apart(summary)]
    for name, figures in summary.dimensions.items():
        for title, names in (
            (f"Missing from {TITLES[name]}", [*summary.missing(name)] if figures.missed else []),
            (f"Unknown in {TITLES[name]}", [*summary.open(name)] if figures.unknown else []),
        ):
            if names:
                lines += ["", f"<details><summary>{title}: {len(names)}</summary>", ""]
                lines += [f"- `{one}`" for one in names]
                lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _apart(summary: Summary) -> str:
    count = summary.without_sandbox
    tests = "1 test runs" if count == 1 else f"{count} tests run"
    return (
        f"{tests} without a sandbox, and what they cover is unknown: set the ini option "
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
            percent_shown(figures),
            end_section=name == [*summary.dimensions][-1],
        )
    out = io.StringIO()
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    has_colours = bool(reporter and reporter.hasmarkup)
    Console(file=out, width=80, force_terminal=has_colours, no_color=not has_colours).print(table)
    yield from (line.rstrip() for line in out.getvalue().splitlines())
