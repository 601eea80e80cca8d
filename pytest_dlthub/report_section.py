"""The section `dlt` of a failed test: its runs, the stand-ins of its destinations, its data."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.tracebacks import causes

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from dlthub_project.sandbox import EndedRun

TITLE = "dlt"

_MOST_RUNS, _MOST_NAMES, _MOST_DATABASES = 5, 5, 2
_OPEN, _FAILED = "open the data: ", " failed after "
_DATABASE = " -> DuckDB "
_ERROR = 40


def runs_told(
    folder: Path | None, wider: Iterable[str | Path], shown: str, error: BaseException | None
) -> list[str]:
    """Return a line for each pipeline run of a test, and one for schema changes.

    Args:
        folder: The sandbox of the test, if it has one.
        wider: The sandboxes of fixtures of wider scope. The lines include their failed run, or all
            of their runs if the test has only read their data.
        shown: What the report shows already; the lines do not repeat its messages.
        error: The error of the test.
    """
    from dlthub_project.sandbox import changed_destinations

    errors = [] if error is None else list(causes(error, "shown"))
    own = _runs_in([folder]) if folder else []
    reads = bool(folder and not own and changed_destinations(str(folder)))
    of_fixtures = [run for run in _runs_in(wider) if reads or any(map(run.has_raised, errors))]
    runs = list(dict.fromkeys([*of_fixtures, *own]))
    lines = [f"{len(runs) - _MOST_RUNS} earlier runs"] if len(runs) > _MOST_RUNS else []
    lines += [
        f"pipeline {run_told(run, shown, is_shown=any(map(run.has_raised, errors)))}"
        for run in runs[-_MOST_RUNS:]
    ]
    changes = dict.fromkeys(change for run in runs for change in _changes(run))
    if changes:
        lines.append(f"schema changes: {_listed(changes, '; ')}")
    return lines


def run_told(run: EndedRun, shown: str = "", *, is_shown: bool = False) -> str:
    """Return the result of a run: its pipeline, rows and seconds, or its error.

    Args:
        run: The run.
        shown: What the report shows already.
        is_shown: Whether the report shows the error of the run.
    """
    name = run.pipeline.pipeline_name
    if (failed := run.failure) is not None:
        is_told = is_shown or failed.lines[0] in shown
        words = [] if is_told else [failed.lines[0].partition("\n")[0]]
        # while it writes Parquet, dlt sometimes names the job of another table
        if failed.job and not failed.job.startswith("_dlt_"):
            words.append(f"job {failed.job}")
        after = f": {', '.join(words)}" if words else ""
        return f"{name}: {failed.step}{_FAILED}{run.seconds:.2f} s{after}"
    from dlthub_project.runner import row_counts

    rows = _rows_told(row_counts(run, run.info, run.untraced))
    steps = _steps(run)
    took = f"{run.seconds:.2f} s{f' ({steps})' if steps else ''}"
    # custom destinations have no dataset
    dataset = f", dataset {run.pipeline.dataset_name}" if run.pipeline.dataset_name else ""
    return f"{name}: {rows} in {took}{dataset}{_failed_jobs(run)}"


def copies_told(loaded: Mapping[str, Any]) -> list[str]:
    """Return a line for each copy of loaded data in a test."""
    return [
        f"copy of pipeline {name}: {_rows_told(run.row_counts)}" for name, run in loaded.items()
    ]


def _rows_told(counts: Mapping[str, int]) -> str:
    return _listed([f"{table} {count}" for table, count in sorted(counts.items())]) or "no rows"


def counted(folders: Iterable[str | Path]) -> tuple[int, int]:
    """Return how many pipelines ran in some sandboxes, and how many rows they have loaded."""
    runs = _runs_in(folders)
    if not runs:
        return 0, 0
    from dlthub_project.runner import row_counts

    loaded = [run for run in runs if run.failure is None]
    return len(runs), sum(sum(row_counts(r, r.info, r.untraced).values()) for r in loaded)


def properties(folders: Iterable[str | Path]) -> list[tuple[str, str]]:
    """Return the JUnit XML properties of a test: one for each run."""
    return [("dlt_pipeline", run_told(run)) for run in _runs_in(folders)]


def ways_to_open(changes: Iterable[str], loaded: Mapping[str, Any]) -> list[str]:
    """Return a command to open each DuckDB file that a test has left, first those of copies.

    Args:
        changes: The sandbox's lines about destinations: `warehouse (postgres) -> DuckDB <path>`.
        loaded: The copies of loaded data in the test.
    """
    copies = [run.database_path for run in loaded.values() if run.database_path is not None]
    paths = [Path(line.partition(_DATABASE)[2]) for line in changes if _DATABASE in line]
    there = [path for path in dict.fromkeys([*copies, *paths]) if path.is_file()]
    shown = there[: max(_MOST_DATABASES, len(copies))]
    return [f"{_OPEN}{command_to_open(path)}" for path in shown]


def command_to_open(path: Path) -> str:
    """Return a command that opens a DuckDB file here: with DuckDB's program, else with Python."""
    if shutil.which("duckdb"):
        return _command("duckdb", str(path))
    code = f"import duckdb; db = duckdb.connect({json.dumps(str(path))})"
    return _command("python" if shutil.which("python") else "python3", "-ic", code)


def _command(*words: str) -> str:
    # the shells of Windows have no single quotes
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def without_repetitions(
    item: pytest.Item,
    outcome: pytest.TestReport,
    folders: Iterable[str | Path],
    error: BaseException | None,
) -> None:
    """Remove what dlt has logged from captured output, where the report shows it a second time.

    pytest captures dlt's logs twice, as logs and on stderr: one is enough. Errors of failed runs
    that the section shows go from both.

    Args:
        item: The test.
        outcome: Its report; this changes it.
        folders: The sandboxes whose failed runs the section shows.
        error: The error of the test, which the section shows too.
    """
    from _pytest.logging import caplog_records_key

    dlts = sys.modules.get("dlt.common.logger")
    logger = getattr(dlts, "LOGGER", None)
    shows = getattr(item.config.option, "showcapture", "all")
    plugin = item.config.pluginmanager.get_plugin("logging-plugin")
    if logger is None or plugin is None:
        return
    runs = _runs_in(folders)
    failures = [run.failure for run in runs if run.failure is not None]
    names = [name for one in failures for name in (one.job, one.text)]
    names += [name for one in causes(error) for name in _known_by(one)]
    for package in (one for run in runs if run.info for one in run.info.load_packages):
        names += [job.job_file_info.job_id() for job in package.jobs["failed_jobs"]]
    known = [name for name in names if name]
    sections = dict(outcome.sections)
    for phase, records in item.stash.get(caplog_records_key, {}).items():
        for record in records:
            if record.name != logger.name:
                continue
            is_told = record.levelno >= _ERROR and any(n in record.getMessage() for n in known)
            if is_told:
                _remove(sections, f"Captured log {phase}", plugin.report_handler.format(record))
            if is_told or shows in ("all", "log"):
                for handler in logger.handlers:
                    _remove(sections, f"Captured stderr {phase}", handler.format(record))
    outcome.sections = [(name, text) for name, text in sections.items() if text.strip()]


def _remove(sections: dict[str, str], name: str, text: str) -> None:
    if name in sections and text.rstrip():
        # pytest strips what it captures from logs
        before, _, after = sections[name].partition(text.rstrip())
        sections[name] = before + after.lstrip("\n")


class ColouredSections:
    """Colours the sections on a terminal; reports, also those of workers, have them as plain text.

    It is a plugin of its own, since it must run before the one that writes them.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: TerminalReporter
    ) -> Generator[None, None, None]:
        """Colour what has failed, and the commands that open the data."""
        writer = terminalreporter.config.get_terminal_writer()
        if writer.hasmarkup:
            for report in (one for reports in terminalreporter.stats.values() for one in reports):
                if isinstance(report, pytest.TestReport) and report.failed:
                    report.sections = [
                        (name, _coloured(text, writer) if name == TITLE else text)
                        for name, text in report.sections
                    ]
        return (yield)


def _coloured(text: str, writer: Any) -> str:
    def line(line: str) -> str:
        if _FAILED in line:
            return str(writer.markup(line, red=True))
        if line.startswith(_OPEN):
            return _OPEN + str(writer.markup(line.removeprefix(_OPEN), bold=True))
        return line

    return "\n".join(map(line, text.split("\n")))


def _runs_in(folders: Iterable[str | Path]) -> list[EndedRun]:
    if "dlthub_project.sandbox.runs" not in sys.modules:
        return []
    from dlthub_project.sandbox import runs_in

    return [run for folder in folders for run in runs_in(str(folder))]


def _failed_jobs(run: EndedRun) -> str:
    """Return the failed jobs of a run that dlt did not fail: a setting of dlt allows that."""
    if run.info is None or not run.info.has_failed_jobs:
        return ""
    from dlthub_project.dlt_internals.failures import failed_jobs

    return "; " + _listed((failure.lines[0] for failure in failed_jobs(run.info)), "; ")


def _steps(run: EndedRun) -> str:
    steps = run.last_trace.steps if run.last_trace is not None else []
    return ", ".join(
        f"{step.step} {(step.finished_at - step.started_at).total_seconds():.2f}"
        for step in steps
        if step.step in ("extract", "normalize", "load")
    )


def _changes(run: EndedRun) -> Iterator[str]:
    from dlthub_project.runner import schema_changes

    for table, columns in sorted(schema_changes(run.info).items()):
        names = [name for name in columns if not name.startswith("_dlt_")]
        if names:
            yield f"{table}: {_listed(names)}"


def _known_by(error: BaseException) -> list[str | None]:
    """Return what a message about a failed step contains: its job, or the text of its error."""
    cause = getattr(error, "exception", None)
    return [] if cause is None else [getattr(cause, "job_id", None), str(cause)]


def _listed(names: Iterable[str], separator: str = ", ") -> str:
    every = list(names)
    more = [f"and {len(every) - _MOST_NAMES} more"] if len(every) > _MOST_NAMES else []
    return separator.join([*every[:_MOST_NAMES], *more])
