"""What the harness tells: the header of a session, and what happened in a failed test."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.tracebacks import causes

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from dlthub_project.secrets import Redactor


FAILED = pytest.StashKey[bool]()
FOLDER = pytest.StashKey[Path]()
# connections that a test may have open, see `LoadedRuns`
HELD = pytest.StashKey[Any]()


_WITHOUT_SECRETS = (
    "Rows in place of the source's own need no secrets: dlt_project.run(..., given={...}), or "
    "dlt_run(my_source, given={...}), where the source is not called."
)

_REDACTOR = pytest.StashKey["Redactor"]()

_CARRIED = "_dlthub_template_uses"


def header(session: Session) -> str | None:
    """Return the header line of a session that tests a project, else None."""
    if session.root is None:
        return f"dlt: sandbox {session.folder}" if session.isolates_all else None
    from dlthub_project import hub_finder

    if session.is_project and hub_finder.is_dlthub_installed():
        return f"dlt: the package dlthub is installed: {session.root} is left to it"
    kind, file = ("project", "dlt.yml") if session.is_project else ("workspace", ".dlt/.workspace")
    parts = [
        f"{kind} {session.root.name} ({file})",
        f"profile {session.profile} ({session.profile_reason})",
        f"sandbox {session.folder}",
    ]
    return f"dlt: {' · '.join(parts)}"


def release_connections(item: pytest.Item) -> None:
    """Close what a failed test has open: its database can be looked at, as with `--pdb`."""
    if HELD in item.stash:
        item.stash[HELD].release()


def tell_of_test(
    item: pytest.Item, error: BaseException | None, outcome: pytest.TestReport
) -> None:
    """Say in the report of a failed test what it lacks, what its destinations were and its data."""
    folder = item.stash.get(FOLDER, None)
    if folder is None:
        return
    from dlthub_project.sandbox import blocked_in_subprocesses, changed_destinations

    lines = how_to_give(error, item.config.stash[SESSION]) if error is not None else []
    lines += blocked_in_subprocesses(str(folder))
    lines += changed_destinations(str(folder))
    if folder.exists() and item.config.getini("dlt_keep") != "none":
        lines.append(f"the data of this test are kept in {folder}")
    if lines:
        outcome.sections.append(("dlt", "\n".join(lines)))


def how_to_give(error: BaseException, session: Session) -> list[str]:
    """Return a line for each setting that was missing; dlt's own text lists where it has looked.

    Args:
        error: What a test failed with; the ones that it was raised from count, too.
        session: The session, whose profile names the file for such settings.
    """
    exceptions = sys.modules.get("dlt.common.configuration.exceptions")
    if exceptions is None:
        return []
    lines: list[str] = []
    for link in causes(error):
        if isinstance(link, exceptions.ConfigFieldMissingException):
            file = f"{session.profile}.secrets.toml" if session.root else "secrets.toml"
            lines = [_line(path, file) for path in _paths(link.traces, exceptions.flatten_traces)]
    return lines


def _line(path: tuple[str, ...], file: str) -> str:
    dotted = ".".join(path)
    for_rows = " " + _WITHOUT_SECRETS if path[0] == "sources" else ""
    return (
        f"{dotted} is missing. For one test: the fixture dlt_config, "
        f'dlt_config["{dotted}"] = "..."; for all: .dlt/{file}.{for_rows}'
    )


def _paths(traces: dict[str, list[object]], flatten: object) -> Iterator[tuple[str, ...]]:
    """Yield where each missing setting may be given: with two sections, if dlt looks there."""
    assert callable(flatten)
    for nested in traces.values():
        tried = [
            (tuple(trace.sections), trace.key.lower().rpartition("__")[2])
            for trace in flatten(nested)
            if trace.provider == "Environment Variables"
        ]
        if tried:
            sections, key = min(tried, key=lambda look_up: abs(len(look_up[0]) - 2))
            yield (*sections, key)


def mask_secrets(item: pytest.Item, outcome: pytest.TestReport) -> None:
    """Mask the secrets of a test in a sandbox: in traceback, locals and captured output.

    Those are the secrets that dlt finds when the phase ends: in the environment, in `secrets.toml`,
    in settings of the test and in `dlt.yml`. What `-s` prints at once is not ours.
    """
    if FOLDER not in item.stash or "dlt" not in sys.modules:
        return
    if not outcome.sections and outcome.longrepr is None:
        return
    from dlthub_project.dlt_internals import configuration
    from dlthub_project.secrets import Redactor

    # at the end of the teardown the settings of the test are gone
    redactor = item.stash.setdefault(_REDACTOR, Redactor())
    redactor.learn_configuration(configuration.configured_documents())
    outcome.sections = _masked(outcome.sections, redactor)
    outcome.longrepr = _masked(outcome.longrepr, redactor)


def _masked(value: Any, redactor: Redactor) -> Any:
    """Return texts, and what consists of them, masked; objects of pytest are changed."""
    if isinstance(value, str):
        return redactor.masked(value)
    if isinstance(value, list | tuple):
        return type(value)(_masked(item, redactor) for item in value)
    if type(value).__module__.startswith("_pytest."):
        for name, item in vars(value).items():
            setattr(value, name, _masked(item, redactor))
    return value


@dataclass
class TemplateUses:
    """What a test did with templates.

    Attributes:
        built: Seconds of each build.
        copied: The number of copies.
        notes: What else the user is to know, such as a damaged template.
    """

    built: list[float] = field(default_factory=list)
    copied: int = 0
    notes: list[str] = field(default_factory=list)

    @classmethod
    def sum_of(cls, uses: Iterable[TemplateUses]) -> TemplateUses:
        """Return those of several tests; equal notes once."""
        total = cls()
        for one in uses:
            total.built += one.built
            total.copied += one.copied
            total.notes += [note for note in one.notes if note not in total.notes]
        return total


USES = pytest.StashKey[TemplateUses]()


def carry(item: pytest.Item, report: pytest.TestReport) -> None:
    """Have the report of a test's set-up carry what it did with templates."""
    if report.when == "setup" and USES in item.stash:
        setattr(report, _CARRIED, asdict(item.stash[USES]))


def write_summary(terminal: TerminalReporter) -> None:
    """Write the summary, where there is something to tell, and not with `-q`."""
    if terminal.config.get_verbosity() < 0:
        return
    reports = [report for reports in terminal.stats.values() for report in reports]
    carried = (getattr(report, _CARRIED, None) for report in reports)
    uses = TemplateUses.sum_of(TemplateUses(**found) for found in carried if found)
    if not uses.copied and not uses.built and not uses.notes:
        return
    built = f" ({sum(uses.built):.1f} s)" if uses.built else ""
    templates = "template" if len(uses.built) == 1 else "templates"
    copies = "copy" if uses.copied == 1 else "copies"
    terminal.write_sep("=", "dlt")
    terminal.write_line(f"{len(uses.built)} {templates} built{built}, {uses.copied} {copies} made")
    for note in uses.notes:
        terminal.write_line(note)
