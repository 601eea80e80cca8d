"""What the harness reports: the header of a session, its summary, and sections of failed tests."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub import report_section
from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.scopes import folders_of_scopes, pipelines_run_elsewhere
from pytest_dlthub.tracebacks import causes, how_to_give, with_message

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


FAILED = pytest.StashKey[bool]()
FOLDER = pytest.StashKey[Path]()
# the destinations that the test's subprocesses could not reach, when its sandbox has ended
BLOCKED = pytest.StashKey[list[str]]()
# open connections of a test, see `LoadedRuns`
HELD = pytest.StashKey[Any]()
# lines about the recording of a test
RECORDED = pytest.StashKey[list[str]]()
WARNED = "dlt_check_warning"
"""The property of a test for a failed check of severity `warn`."""
ADDITIVE = "dlt_schema_additive"
"""The property of a test for a schema change that the test accepts."""


_MOST_REASONS, _MOST_CRASHES = 5, 20

_CARRIED, _COUNTED = "_dlthub_template_uses", "_dlthub_runs"
_TOLD, _CRASHED = "_dlthub_recorded", "_dlthub_crashes"
# the summaries of crashes, by the folder of the sandbox
_crashes: dict[str, list[str]] = {}


def header(session: Session) -> str | None:
    """Return the header line of a session, or None if the session has no project or sandbox."""
    seen = session.secrets
    if seen.endswith(".toml"):
        seen = f"tests ({seen}, environment)"
    if session.root is None:
        is_told = session.isolates_all
        return f"dlt: secrets {seen} · sandbox {session.folder}" if is_told else None
    kind, file = ("project", "dlt.yml") if session.is_project else ("workspace", ".dlt/.workspace")
    name = f"{kind} {session.root.name} ({file})"
    if session.is_left_to_dlthub:
        name = f"the package dlthub is installed: {session.root} is left to it"
    parts = [
        name,
        f"profile {session.profile} ({session.profile_reason})",
        f"secrets {seen}",
        f"sandbox {session.folder}",
    ]
    return f"dlt: {' · '.join(parts)}"


def note_crashes(folder: str, summary: str) -> None:
    """Add a line to the summary: at which points crashes happened, and which the run missed.

    Args:
        folder: The folder of the test's sandbox.
        summary: The line.
    """
    _crashes.setdefault(folder, []).append(summary)


def release_connections(item: pytest.Item) -> None:
    """Close a failed test's connections: then the user can open its database, as with `--pdb`."""
    if HELD in item.stash:
        item.stash[HELD].release()


@contextmanager
def forgetting(item: pytest.Item) -> Iterator[None]:
    """Forget after a block what a test has loaded: pytest keeps tests until the session ends."""
    try:
        yield
    finally:
        if HELD in item.stash:
            del item.stash[HELD]


def tell_of_test(
    item: pytest.Item, error: BaseException | None, outcome: pytest.TestReport
) -> None:
    """Add a section to a failed test: missing settings, its runs, its destinations and its data."""
    folder = item.stash.get(FOLDER, None)
    wider = folders_of_scopes(item)
    if folder is None and not wider:
        return
    from dlthub_project.sandbox import blocked_in_subprocesses, changed_destinations

    is_full, is_quiet = item.config.option.fulltrace, item.config.get_verbosity() < 0
    lines: list[str] = []
    if error is not None and folder is not None:
        lines = _missing_settings(error, item.config)
    if lines and not is_full and with_message(outcome.longrepr, lines):
        lines = []
    lines += _undecoded(error, item.config)
    folders = [one for one in (*wider, folder) if one is not None]
    blocked = [blocked_in_subprocesses(str(one)) for one in folders]
    blocked.append(item.stash.get(BLOCKED, []))
    lines += dict.fromkeys(line for lines_of_one in blocked for line in lines_of_one)
    if error is not None:
        said = " ".join(str(one) for one in causes(error))
        lines += pipelines_run_elsewhere(wider, folder, said)
    if folder is not None and not is_full:
        runs = [] if is_quiet else [folder]
        report_section.without_repetitions(item, outcome, runs, error)
    if not is_quiet:
        lines += report_section.runs_told(folder, wider, outcome.longreprtext, error)
    if folder is not None and not is_quiet:
        changes = changed_destinations(str(folder))
        lines += changes
        copies: Mapping[str, Any] = item.stash.get(HELD, {})
        lines += report_section.copies_told(copies)
        if folder.exists() and item.config.getini("dlt_keep") != "none":
            lines += report_section.ways_to_open(changes, copies)
            lines.append(f"the data of this test are kept in {folder}")
    if lines:
        outcome.sections.append((report_section.TITLE, "\n".join(lines)))


def _undecoded(error: BaseException | None, config: pytest.Config) -> list[str]:
    """Return what dlt does not say of a path that is not in the encoding of this process."""
    if not any("surrogates not allowed" in str(one) for one in causes(error)):
        return []
    paths = (str(Path.cwd()), str(config.rootpath), str(config.stash[SESSION].folder))
    path = next((one for one in paths if any("\ud800" <= c <= "\udfff" for c in one)), None)
    if path is None:
        return []
    text = (
        f"dlt stores the path {path!a}, whose bytes Python could not read as "
        f"{sys.getfilesystemencoding()}. Set PYTHONUTF8=1, or LC_ALL to a locale of UTF-8 such as "
        "C.UTF-8; a name that is not UTF-8 needs another name."
    )
    return [text]


def _missing_settings(error: BaseException, config: pytest.Config) -> list[str]:
    """Return what is missing and how to give it to this test; empty if nothing is missing."""
    exceptions = sys.modules.get("dlt.common.configuration.exceptions")
    if exceptions is None:
        return []
    expected = exceptions.ConfigFieldMissingException
    missing = next((one for one in causes(error) if isinstance(one, expected)), None)
    if missing is None:
        return []
    from dlthub_project.dlt_internals import configuration, contexts

    session = config.stash[SESSION]
    prefix = f"{session.profile}." if session.root else ""
    file = f"{prefix}secrets.toml" if session.secrets == "all" else session.secrets
    settings = configuration.missing_settings(missing)
    settings_dir = str((session.root or Path.cwd()) / ".dlt")
    files = (f"{session.profile}.secrets.toml", "secrets.toml")
    hidden = {}
    for one in settings:
        place = contexts.hidden_by_narrowing(
            one.places, one.variables, settings_dir, session.secrets, files
        )
        if place:
            hidden[one.path] = place
    return how_to_give(
        settings,
        secrets_file="" if file == "none" else file,
        config_file=f"{prefix}config.toml",
        has_placeholders=hasattr(missing, "_dlthub_has_placeholders"),
        is_narrowed=session.secrets != "all",
        hidden=hidden,
        choice="none" if session.secrets == "none" else "tests",
    )


@dataclass
class TemplateUses:
    """How a test used templates.

    Attributes:
        built: Seconds of each build.
        copied: The number of copies.
        notes: What else the user must know, such as a damaged template.
        own: Why a test has a template of its own: the changed values that have no digest.
        builds: For each build its pipelines, a digest of the loads, and by name the digests of what
            may differ between tests with the same loads.
    """

    built: list[float] = field(default_factory=list)
    copied: int = 0
    notes: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    builds: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    @classmethod
    def sum_of(cls, uses: Iterable[TemplateUses]) -> TemplateUses:
        """Return the sum of several tests; equal notes count once."""
        total = cls()
        for one in uses:
            total.built += one.built
            total.copied += one.copied
            total.notes += [note for note in one.notes if note not in total.notes]
            total.own += [", ".join(one.own)] if one.own else []
            total.builds += one.builds
        return total


def causes_of_builds(uses: TemplateUses) -> Iterator[str]:
    """Yield a line for each load that was built several times: it names what differed."""
    groups: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
    for names, group, parts in uses.builds:
        groups.setdefault(group, []).append((names, parts))
    for builds in groups.values():
        found = {}
        for name in {name for _, parts in builds for name in parts}:
            values = {parts.get(name, "") for _, parts in builds}
            if len(values) > 1:
                found[name] = len(values)
        most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        causes = [
            f"{name} differs in each" if n == len(builds) else f"{name} has {n} values"
            for name, n in most[:_MOST_REASONS]
        ]
        causes += [f"{len(most) - _MOST_REASONS} more differ"] if len(most) > _MOST_REASONS else []
        if causes:
            yield f"{len(builds)} templates of {builds[0][0]}: {', '.join(causes)}"


USES = pytest.StashKey[TemplateUses]()


def carry(item: pytest.Item, report: pytest.TestReport) -> None:
    """Store in a test's reports how it used templates, and what it has run."""
    if report.when == "setup" and USES in item.stash:
        setattr(report, _CARRIED, asdict(item.stash[USES]))
    if report.when == "call" and (told := _crashes.pop(str(item.stash.get(FOLDER, "")), None)):
        setattr(report, _CRASHED, told)
    if report.when == "teardown" and item.stash.get(RECORDED, None):
        setattr(report, _TOLD, item.stash[RECORDED])
    has_run = report.when == "call" or (report.when == "setup" and report.failed)
    if has_run and (folder := item.stash.get(FOLDER, None)) is not None:
        if any(counts := report_section.counted([folder])):
            setattr(report, _COUNTED, counts)
        if getattr(item.config.option, "xmlpath", None):
            # pytest takes the properties of the teardown's report from the test
            item.user_properties += report_section.properties([folder])


def write_summary(terminal: TerminalReporter) -> None:
    """Write the summary if there is something to report; nothing with `-q`."""
    _write_recordings(terminal)
    _write_crashes(terminal)
    if terminal.config.get_verbosity() < 0:
        return
    reports = [report for reports in terminal.stats.values() for report in reports]
    _write_additive_changes(terminal)
    carried = (getattr(report, _CARRIED, None) for report in reports)
    uses = TemplateUses.sum_of(TemplateUses(**found) for found in carried if found)
    counts = [found for report in reports if (found := getattr(report, _COUNTED, None))]
    has_templates = uses.copied or uses.built or uses.notes
    if not counts and not has_templates:
        return
    terminal.write_sep("=", report_section.TITLE)
    if counts:
        count, rows = (sum(numbers) for numbers in zip(*counts, strict=True))
        pipelines = "pipeline" if count == 1 else "pipelines"
        terminal.write_line(
            f"{count} {pipelines} run, {rows} {'row' if rows == 1 else 'rows'} loaded"
        )
    if not has_templates:
        return
    built = f" ({sum(uses.built):.1f} s)" if uses.built else ""
    templates = "template" if len(uses.built) == 1 else "templates"
    copies = "copy" if uses.copied == 1 else "copies"
    terminal.write_line(f"{len(uses.built)} {templates} built{built}, {uses.copied} {copies} made")
    if uses.own:
        reasons = "; ".join(sorted(set(uses.own))[:_MOST_REASONS])
        terminal.write_line(
            f"{len(uses.own)} of the templates are of one test: what the test, or one before it, "
            f"put there cannot be compared: {reasons}"
        )
    for cause in causes_of_builds(uses):
        terminal.write_line(cause)
    for note in uses.notes:
        terminal.write_line(note)


def properties_of_tests(terminal: TerminalReporter, name: str) -> Iterator[tuple[str, str]]:
    """Yield the values of a property of tests, with the names of the tests."""
    for report in (report for reports in terminal.stats.values() for report in reports):
        if getattr(report, "when", None) == "teardown":
            yield from (
                (report.nodeid, text) for key, text in report.user_properties if key == name
            )


def _write_recordings(terminal: TerminalReporter) -> None:
    """List what was recorded and what was cut off, also with `-q`: a pass then proves less."""
    reports = [report for reports in terminal.stats.values() for report in reports]
    lines = [line for report in reports for line in getattr(report, _TOLD, ())]
    _write_section(terminal, "dlt recordings", [*dict.fromkeys(lines)])


def _write_crashes(terminal: TerminalReporter) -> None:
    """List at which points crashes happened, also with `-q`: the other points are untested."""
    lines = [
        f"{report.nodeid}: {line}"
        for outcome in ("passed", "failed")
        for report in terminal.stats.get(outcome, ())
        for line in getattr(report, _CRASHED, ())
    ]
    _write_section(terminal, "dlt crashes", lines, _MOST_CRASHES)


def _write_additive_changes(terminal: TerminalReporter) -> None:
    """List additive changes of schemas since their snapshots, if they fail no test."""
    found = [f"{nodeid}: {text}" for nodeid, text in properties_of_tests(terminal, ADDITIVE)]
    _write_section(terminal, "dlt schemas", found, _MOST_REASONS)
    if found:
        terminal.write_line("pytest --snapshot-update takes these into the snapshots")


def _write_section(
    terminal: TerminalReporter, title: str, lines: Sequence[str], most: int | None = None
) -> None:
    """Write a section if there are lines: some of them, and how many more there are."""
    if lines:
        terminal.write_sep("=", title)
        shown = lines[:most]
        for line in shown:
            terminal.write_line(line)
        if len(lines) > len(shown):
            terminal.write_line(f"and {len(lines) - len(shown)} more")
