"""What the harness tells: the header of a session, and what happened in a failed test."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.scopes import folders_of_scopes
from pytest_dlthub.tracebacks import causes, how_to_give, with_message

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from dlthub_project.secrets import KnownSecrets


FAILED = pytest.StashKey[bool]()
FOLDER = pytest.StashKey[Path]()
# connections that a test may have open, see `LoadedRuns`
HELD = pytest.StashKey[Any]()


_MOST_REASONS = 5

_CARRIED = "_dlthub_template_uses"


def header(session: Session) -> str | None:
    """Return the header line of a session that tests a project, else None."""
    seen = session.secrets
    if seen.endswith(".toml"):
        seen = f"tests ({seen}, environment)"
    if session.root is None:
        is_told = session.isolates_all
        return f"dlt: secrets {seen} · sandbox {session.folder}" if is_told else None
    from dlthub_project import hub_finder

    if session.is_project and hub_finder.is_dlthub_installed():
        return f"dlt: the package dlthub is installed: {session.root} is left to it"
    kind, file = ("project", "dlt.yml") if session.is_project else ("workspace", ".dlt/.workspace")
    parts = [
        f"{kind} {session.root.name} ({file})",
        f"profile {session.profile} ({session.profile_reason})",
        f"secrets {seen}",
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
    wider = folders_of_scopes(item)
    if folder is None and not wider:
        return
    from dlthub_project.sandbox import blocked_in_subprocesses, changed_destinations

    lines: list[str] = []
    if error is not None and folder is not None:
        lines = _missing_settings(error, item.config)
    if lines and not item.config.option.fulltrace and with_message(outcome.longrepr, lines):
        lines = []
    blocked = [blocked_in_subprocesses(str(one)) for one in (*wider, folder) if one is not None]
    lines += dict.fromkeys(line for lines_of_one in blocked for line in lines_of_one)
    if folder is not None:
        lines += changed_destinations(str(folder))
    if folder is not None and folder.exists() and item.config.getini("dlt_keep") != "none":
        lines.append(f"the data of this test are kept in {folder}")
    if lines:
        outcome.sections.append(("dlt", "\n".join(lines)))


def _missing_settings(error: BaseException, config: pytest.Config) -> list[str]:
    """Return what is missing and how to give it to this test, else nothing."""
    exceptions = sys.modules.get("dlt.common.configuration.exceptions")
    if exceptions is None:
        return []
    expected = exceptions.ConfigFieldMissingException
    missing = next((one for one in causes(error) if isinstance(one, expected)), None)
    if missing is None:
        return []
    from dlthub_project.dlt_internals import configuration

    session = config.stash[SESSION]
    prefix = f"{session.profile}." if session.root else ""
    file = f"{prefix}secrets.toml" if session.secrets == "all" else session.secrets
    return how_to_give(
        configuration.missing_settings(missing),
        secrets_file="" if file == "none" else file,
        config_file=f"{prefix}config.toml",
        has_placeholders=hasattr(missing, "_dlthub_has_placeholders"),
        is_narrowed=session.secrets != "all",
    )


def learn_environment(config: pytest.Config) -> None:
    """Remember the secrets of the environment, by their names: tests may be named by them."""
    if config.stash[SESSION].isolates_all:
        _known().learn_environment()


def learn_secrets(item: pytest.Item, outcome: pytest.TestReport) -> None:
    """Remember the secrets that dlt finds when a phase of a test in a sandbox ends.

    Those are the ones that nobody has asked for yet: in the environment, in `secrets.toml`, in
    settings of the test and in `dlt.yml`. At the end of the teardown the settings are gone.
    """
    tells = outcome.sections or outcome.longrepr is not None or outcome.user_properties
    if tells and FOLDER in item.stash and "dlt" in sys.modules:
        from dlthub_project.dlt_internals import configuration

        _known().learn_configuration(configuration.configured_documents())


def mask_report(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Mask the secrets that are known in all that a report has, but for what identifies it.

    What `-s` prints at once is not ours.
    """
    if _knows_any():
        for name, value in list(vars(report).items()):
            if name not in _IDENTITY:
                setattr(report, name, masked(value))


class MaskedIds:
    """Has names of tests without the secrets in them: pytest makes ids of parameters.

    A plugin of its own, since it goes before all others where this plugin does not.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Mask the ids that a test names; those that pytest makes are not made yet."""
        if _knows_any():
            _mask_named_ids(metafunc)

    def pytest_make_parametrize_id(self, val: object) -> str | None:
        """Mask the id that pytest would make of a value."""
        if isinstance(val, str) and _knows_any() and masked(val) != val:
            return str(masked(val))
        return None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: TerminalReporter
    ) -> Generator[None, None, None]:
        """Mask what is known since in the names of tests, before anything sums them up."""
        if _knows_any():
            _mask_identities(terminalreporter)
        return (yield)


def mask_warning(warning: warnings.WarningMessage) -> None:
    """Mask the secrets in what a warning says."""
    text = str(warning.message)
    if _knows_any() and masked(text) != text:
        # as text: nobody knows the arguments of a user's class
        warning.message = masked(text)


def mask_logs(config: pytest.Config) -> None:
    """Mask the secrets in the log file and in live logs; `caplog` has what the code has logged."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    for name in ("log_file_handler", "log_cli_handler"):
        handler = getattr(plugin, name, None)
        if handler is not None:
            handler.format = _masking(handler.format)


def mask_xml(config: pytest.Config) -> None:
    """Mask the secrets in JUnit XML: some properties go past all reports."""
    path = getattr(config.option, "xmlpath", None)
    if path and not hasattr(config, "workerinput") and _knows_any() and os.path.isfile(path):
        file = Path(path)
        text = file.read_text(encoding="utf-8")
        file.write_text(masked(text), encoding="utf-8")


def _mask_identities(terminal: TerminalReporter) -> None:
    for reports in terminal.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport | pytest.CollectReport):
                report.nodeid = masked(report.nodeid)
            if isinstance(report, pytest.TestReport):
                report.location = masked(report.location)


def _mask_named_ids(metafunc: pytest.Metafunc) -> None:
    parametrize = metafunc.parametrize

    def parametrize_masked(
        names: Any, values: Any, *given: Any, ids: Any = None, **more: Any
    ) -> None:
        with_ids = type(pytest.param())
        shown = [v._replace(id=masked(v.id)) if isinstance(v, with_ids) else v for v in values]
        hidden = (lambda value: masked(ids(value))) if callable(ids) else _masked_ids(ids)
        parametrize(names, shown, *given, ids=hidden, **more)

    # of this test alone, and public
    metafunc.parametrize = parametrize_masked  # type: ignore[assignment, method-assign]


def _masked_ids(ids: Iterable[Any] | None) -> list[Any] | None:
    return None if ids is None else [masked(one) for one in ids]


_IDENTITY = ("nodeid", "location")
_TEXTS_OF_DLT = (".json", ".exception", ".txt")
# the parts of a report are theirs; other objects may be what a plugin works with
_OF_REPORTS = ("_pytest._code.code", "_pytest.doctest")


def mask_kept(folder: Path) -> None:
    """Mask the secrets in what dlt has written of runs whose data are kept: traces and errors."""
    if not _knows_any():
        return
    from dlthub_project.dlt_internals import pipelines

    for file in folder.rglob("*"):
        is_trace = file.name == pipelines.TRACE_FILE
        if not is_trace and (file.suffix not in _TEXTS_OF_DLT or not file.is_file()):
            continue
        # a pickle has texts as they are
        text = file.read_bytes().decode("utf-8", errors="surrogateescape")
        if (hidden := masked(text)) == text:
            continue
        if is_trace:
            pipelines.rewrite_trace(file, masked)
        else:
            file.write_bytes(hidden.encode("utf-8", errors="surrogateescape"))


def _known() -> KnownSecrets:
    from dlthub_project.secrets import KNOWN

    return KNOWN


def _knows_any() -> bool:
    # without any use of dlt, not even imported
    return "dlthub_project.secrets" in sys.modules and bool(_known())


def _masking(tell: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda record: masked(tell(record)) if _knows_any() else tell(record)


def masked(value: Any) -> Any:
    """Return texts, and what consists of them, masked; objects of pytest are changed."""
    if isinstance(value, str):
        return _known().masked(value)
    if type(value) is dict:
        return {masked(key): masked(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        items = (masked(item) for item in value)
        return list(items) if type(value) is list else tuple(items)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        hidden: Any = tuple.__new__(type(value), map(masked, value))
        for name, item in getattr(value, "__dict__", {}).items():
            setattr(hidden, name, masked(item))
        return hidden
    if type(value).__module__ == "_pytest.subtests" and is_dataclass(value):
        # what a subtest is called, which cannot be changed
        parts = {part.name: getattr(value, part.name) for part in fields(value)}
        hidden_parts: Any = masked(parts)
        made: Any = value
        return replace(made, **hidden_parts) if hidden_parts != parts else value
    if type(value).__module__ in _OF_REPORTS and hasattr(value, "__dict__"):
        for name, item in vars(value).items():
            setattr(value, name, masked(item))
    return value


@dataclass
class TemplateUses:
    """What a test did with templates.

    Attributes:
        built: Seconds of each build.
        copied: The number of copies.
        notes: What else the user is to know, such as a damaged template.
        own: Why a test has a template of its own: what differs and cannot be compared.
    """

    built: list[float] = field(default_factory=list)
    copied: int = 0
    notes: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    @classmethod
    def sum_of(cls, uses: Iterable[TemplateUses]) -> TemplateUses:
        """Return those of several tests; equal notes once."""
        total = cls()
        for one in uses:
            total.built += one.built
            total.copied += one.copied
            total.notes += [note for note in one.notes if note not in total.notes]
            total.own += [", ".join(one.own)] if one.own else []
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
    if uses.own:
        reasons = "; ".join(sorted(set(uses.own))[:_MOST_REASONS])
        terminal.write_line(
            f"{len(uses.own)} of the templates are of one test: what the test, or one before it, "
            f"put there cannot be compared: {reasons}"
        )
    for note in uses.notes:
        terminal.write_line(note)
