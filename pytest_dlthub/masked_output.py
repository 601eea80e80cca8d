"""Masks secrets in everything that leaves a session: output, files, and messages of workers.

It masks twice. In objects (reports, warnings, log records) a secret is still one piece of text.
Streams and files also get prints of conftests, errors of pytest itself and lines of other plugins.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from pytest_dlthub import secrets_in_texts
from pytest_dlthub.activation import SESSION
from pytest_dlthub.report import FOLDER

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from dlthub_project.secrets import KnownSecrets

# beside JUnit XML, which is parsed: of pytest-reportlog, pytest-json-report and pytest-html
_FILES_OF_PLUGINS = ("report_log", "json_report_file", "htmlpath")
_SENT, _WITHHELD = "$dlthub_secrets", "$dlthub_withheld"
_TOLD = pytest.StashKey[set[str]]()


def learn_before_tests(config: pytest.Config) -> None:
    """Learn the secrets that we can read without dlt, as names of tests may contain them.

    They are in the environment, by the names of variables, and in the project's `secrets.toml`
    files, also in the one that tests do not see.
    """
    session = config.stash[SESSION]
    if not session.isolates_all:
        return
    _known().learn_environment()
    folder = (session.root or session.working_dir) / ".dlt"
    for name in ("secrets.toml", f"{session.profile}.secrets.toml"):
        if (file := folder / name).is_file():
            _known().learn_documents([(name, _toml(file))])


def _toml(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        from tomllib import TOMLDecodeError, loads
    else:
        from tomlkit import parse
        from tomlkit.exceptions import TOMLKitError as TOMLDecodeError

        def loads(text: str) -> dict[str, Any]:
            return parse(text).unwrap()

    try:
        return loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TOMLDecodeError):
        # dlt says what is wrong, to whoever looks a value up
        return {}


def learn_secrets(item: pytest.Item, outcome: pytest.TestReport) -> None:
    """Learn the secrets that dlt would find, when a phase of a test in a sandbox ends.

    Nobody may have looked them up yet: in the environment, in `secrets.toml`, in settings of the
    test and in `dlt.yml`. At the end of the teardown the settings are gone.
    """
    tells = outcome.sections or outcome.longrepr is not None or outcome.user_properties
    if tells and FOLDER in item.stash and "dlt" in sys.modules:
        from dlthub_project.dlt_internals import configuration
        from dlthub_project.sandbox import secrets_of_subprocesses

        documents = list(configuration.configured_documents())
        _known().learn_configuration(documents)
        looked_up = secrets_of_subprocesses(str(item.stash[FOLDER]))
        _known().learn_paths(looked_up, [document for _, document in documents])


def mask_report(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Mask known secrets in a report, except in what identifies it."""
    if _knows_any():
        for name, value in list(vars(report).items()):
            if name not in _IDENTITY and not name.startswith(_OF_SUMMARY):
                setattr(report, name, masked(value))


class MaskedIds:
    """Masks secrets in names of tests, which contain the ids of parameters.

    It is a plugin of its own, since its hooks run first, and those of our plugin do not.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Mask the ids that a test names; pytest makes its own ids later."""
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
        """Mask secrets that we have learned since in names of tests, before the summary."""
        if _knows_any():
            _mask_identities(terminalreporter)
        yield
        for line in secrets_in_texts.withheld():
            terminalreporter.write_line(line)


def mask_warning(warning: warnings.WarningMessage) -> None:
    """Mask the secrets in what a warning says."""
    text = str(warning.message)
    if _knows_any() and masked(text) != text:
        # as text: nobody knows the arguments of a user's class
        warning.message = masked(text)


def mask_streams() -> None:
    """Mask what this process prints from now on, also in pytest's hooks and with `-s`.

    This lasts until the process ends, since Python prints errors of conftests and tracebacks last.
    When pytest captures output, it puts streams of its own in place of these.
    """
    for stream in (sys.stdout, sys.stderr):
        mask_stream(stream)


def mask_stream(stream: Any) -> None:
    """Mask what is written to one stream; whoever has it keeps the object that it is."""
    write = getattr(stream, "write", None)
    if write is not None and getattr(write, "__module__", None) != __name__:
        # where nothing can be set, as in a class of C, there is nothing to be had either
        with suppress(AttributeError):
            stream.write = _masking(write)


def mask_outputs(config: pytest.Config) -> None:
    """Mask what goes past the streams: log files, pytest's cache, and copies of the terminal.

    `caplog` has what the code has logged.
    """
    handler = getattr(config.pluginmanager.get_plugin("logging-plugin"), "log_file_handler", None)
    if handler is not None:
        handler.format = _masked_result(handler.format)
    cache = getattr(config, "cache", None)
    if cache is not None:
        put = cache.set
        cache.set = lambda key, value: put(key, masked(value) if _knows_any() else value)
    if config.pluginmanager.has_plugin("terminalreporter"):
        writer: Any = config.get_terminal_writer()
        if "write" in vars(writer):
            # `--pastebin` keeps what it is given
            writer.write = _masking(writer.write)


def mask_trace_of_pytest(config: pytest.Config) -> None:
    """Mask the file of `--debug`, which has the arguments of all hooks, after it is closed."""
    path = config.option.debug if hasattr(config, "option") else None
    if path and _knows_any() and os.path.isfile(path):
        _mask_text(Path(path))


def mask_files(config: pytest.Config) -> None:
    """Mask JUnit XML, since some properties go past all reports, and reports of other plugins."""
    if hasattr(config, "workerinput") or not _knows_any():
        return
    path = getattr(config.option, "xmlpath", None)
    if path and os.path.isfile(path):
        _mask_xml(Path(path))
    for name in _FILES_OF_PLUGINS:
        path = getattr(config.option, name, None)
        if path and isinstance(path, str) and os.path.isfile(path):
            _mask_text(Path(path))


def with_secrets(data: dict[str, Any], config: pytest.Config) -> dict[str, Any]:
    """Return the message of a worker, with the secrets that it has learned since the last one."""
    if not _knows_any():
        return data
    sent = config.stash.setdefault(_TOLD, set())
    new = [one for one in _known().values() if one not in sent and _can_be_sent(one)]
    sent.update(new)
    return {**data, _SENT: new, _WITHHELD: secrets_in_texts.withheld()}


def learn_sent(data: dict[str, Any]) -> None:
    """Take the secrets that a worker has learned, and what it withholds, from what it has sent."""
    secrets_in_texts.learn_withheld(data.pop(_WITHHELD, ()))
    sent = data.pop(_SENT, ())
    if sent:
        for secret in sent:
            _known().learn(secret, is_secret=True)


def _can_be_sent(secret: str) -> bool:
    try:
        return bool(secret.encode())
    except UnicodeEncodeError:
        # of an environment that is no text
        return False


def _mask_xml(file: Path) -> None:
    try:
        document = ElementTree.parse(file)
    except ElementTree.ParseError:
        _mask_text(file)
        return
    is_changed = False
    for element in document.iter():
        attributes = {name: masked(value) for name, value in element.attrib.items()}
        told = (attributes, masked(element.text), masked(element.tail))
        if told != (element.attrib, element.text, element.tail):
            is_changed = True
            element.attrib, element.text, element.tail = told
    if is_changed:
        text = ElementTree.tostring(document.getroot(), encoding="unicode")
        # as pytest begins it
        file.write_text(f'<?xml version="1.0" encoding="utf-8"?>{text}', encoding="utf-8")


def _mask_text(file: Path) -> None:
    text = file.read_bytes().decode("utf-8", errors="surrogateescape")
    if (hidden := masked(text)) != text:
        file.write_bytes(hidden.encode("utf-8", errors="surrogateescape"))


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


# `passed` may be a secret, too: whoever counts reads it
_IDENTITY = ("nodeid", "location", "outcome", "when")
# read by the summary, and masked where that is printed
_OF_SUMMARY = "_dlthub_"
_TEXTS_OF_DLT = (".json", ".exception", ".txt")
# the parts of a report are theirs; other objects may be what a plugin works with
_OF_REPORTS = ("_pytest._code.code", "_pytest.doctest")


def mask_kept(folder: Path) -> None:
    """Mask the secrets in what dlt has written of runs whose data are kept: traces and errors."""
    if not _knows_any():
        return
    from dlthub_project.dlt_internals import files_of_runs

    for file in folder.rglob("*"):
        is_trace = file.name == files_of_runs.TRACE_FILE
        if not is_trace and (file.suffix not in _TEXTS_OF_DLT or not file.is_file()):
            continue
        if not is_trace:
            _mask_text(file)
            continue
        # a pickle has texts as they are
        text = file.read_bytes().decode("utf-8", errors="surrogateescape")
        if masked(text) != text:
            files_of_runs.rewrite_trace(file, masked)


def _known() -> KnownSecrets:
    from dlthub_project.secrets import KNOWN

    return KNOWN


def _knows_any() -> bool:
    return knows_secrets() or secrets_in_texts.may_hide()


def knows_secrets() -> bool:
    """Tell whether we know the value of any secret."""
    # without any use of dlt, not even imported
    return "dlthub_project.secrets" in sys.modules and bool(_known())


def secrets_in(text: str) -> list[str]:
    """Return the parts of a text that are secrets, or made of them, whose values we know."""
    return _known().found_in(text) if knows_secrets() else []


def _masking(write: Callable[..., Any]) -> Callable[..., Any]:
    def write_masked(text: Any, *given: Any, **more: Any) -> Any:
        if isinstance(text, str) and _knows_any():
            hidden = masked(text)
            if hidden != text:
                write(hidden, *given, **more)
                # whoever writes asks whether all of it is written
                return len(text)
        return write(text, *given, **more)

    return write_masked


def _masked_result(tell: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda record: masked(tell(record)) if _knows_any() else tell(record)


def masked(value: Any) -> Any:
    """Return texts, and what consists of them, masked; objects of pytest are changed."""
    return _known().masked_in(value, _masked_object, secrets_in_texts.hidden)


def _masked_object(value: Any) -> Any:
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
