"""The pytest plugin: finds the project and switches its sandbox on, before any test is imported.

Imports nothing heavy: neither dlt nor the runtime. Importing dlt alone takes longer than a small
test run. What the plugin decides goes into environment variables, which the runtime reads when
dlt is first used; so code that runs at import, and subprocesses, are in the sandbox too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_dlthub import (
    check_history,
    finished_runs,
    hooks,
    masked_output,
    options,
    own_hooks,
    report_section,
    secrets_in_texts,
    tracebacks,
)
from pytest_dlthub import report as reports
from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.fixtures import (
    _dlt_destination_type,
    _dlt_sandbox,
    dlt_config,
    dlt_dataset,
    dlt_destinations,
    dlt_faults,
    dlt_isolated,
    dlt_items,
    dlt_loaded,
    dlt_project,
    dlt_project_factory,
    dlt_run,
    dlt_runs,
    dlt_schema_snapshot,
    dpt_project_config,
    dpt_project_context,
    dpt_run_context,
)
from pytest_dlthub.plain_suites import import_before
from pytest_dlthub.scopes import in_sandbox_of_scope, tell_what_lasts
from pytest_dlthub.tracebacks import is_interrupt

__all__ = [
    "_dlt_destination_type",
    "_dlt_sandbox",
    "dlt_config",
    "dlt_dataset",
    "dlt_destinations",
    "dlt_faults",
    "dlt_isolated",
    "dlt_items",
    "dlt_loaded",
    "dlt_project",
    "dlt_project_factory",
    "dlt_run",
    "dlt_runs",
    "dlt_schema_snapshot",
    "dpt_project_config",
    "dpt_project_context",
    "dpt_run_context",
]

_MARKERS = (
    "dlt_allow_remote(*names): let this test reach the remote destinations of these names.",
    "dlt_crash(*, kind, points, ignore): kill this test's run at each point, and run it again.",
    "dlt_destination(*types): run this test once for each destination type, such as `filesystem`.",
    "dlt_load(pipeline=None, *, source=None, **arguments): load this test's data once, as a copy.",
    "dlt_recorded(record=None): replay the recording that `pytest --dlt-record` made of this test.",
    "dlt_schema_snapshot(fails_on): which schema changes fail this test, `any` or `breaking`.",
    "no_load: the fixtures drop_pipeline and auto_drop_pipeline leave the test's data.",
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that plugins and conftests of users may implement, as we do."""
    pluginmanager.add_hookspecs(hooks)
    pluginmanager.register(own_hooks, "dlthub_hooks")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the plugin's options and ini names."""
    options.register(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Activate the project before the first conftest is imported, and before pytest captures."""
    masked_output.mask_streams()
    _start(early_config)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; start the session here if a conftest has loaded the plugin late."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(check_history.CheckHistory(config), "dlthub_check_history")
    config.pluginmanager.register(masked_output.MaskedIds(), "dlthub_masked_ids")
    config.pluginmanager.register(tracebacks.ShortenedReports(), "dlthub_shortened_reports")
    config.pluginmanager.register(report_section.ColouredSections(), "dlthub_coloured_sections")
    if SESSION not in config.stash:
        masked_output.mask_streams()
        _start(config)
    if options.measures_data(config):
        from pytest_dlthub.data_coverage.coverage_plugin import DataCoverage

        config.pluginmanager.register(DataCoverage(config), "dlthub_data_coverage")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect recordings with `--dlt-record-check`, to check what they show."""
    if file_path.suffix != ".yml" or not parent.config.getoption("dlt_record_check", False):
        return None
    from pytest_dlthub.recordings import record_check

    if not record_check.is_recording(file_path):
        return None
    return record_check.RecordingFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Ask plugins about destinations, and end a session whose manifest is not valid."""
    session.config.stash[SESSION].ask_plugins(session)
    masked_output.learn_before_tests(session.config)
    masked_output.mask_outputs(session.config)
    if options.has_workers(session.config):
        # workers import the tests, with copies of this environment
        session.config.stash[SESSION].end_early_code()
    if options.runs_tests(session):
        session.config.stash[SESSION].check_manifest()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Mask secrets in the report of a test, before other plugins see it."""
    masked_output.mask_report(report)


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Mask secrets in the report of a collection, before other plugins see it."""
    masked_output.mask_report(report)


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Mask secrets in warnings."""
    masked_output.mask_warning(warning_message)


@pytest.hookimpl(tryfirst=True)
def pytest_internalerror(excrepr: object) -> None:
    """Mask secrets in an internal error of pytest or a plugin."""
    if "dlthub_project.secrets" in sys.modules:
        masked_output.masked(excrepr)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Mask secrets in JUnit XML and files of other plugins, after they are written."""
    yield
    masked_output.mask_files(session.config)
    # a withheld text may have been an error
    if secrets_in_texts.withheld() and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_report_to_serializable(
    config: pytest.Config,
) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Send secrets that a worker of pytest-xdist has learned: names of tests may contain them."""
    data = yield
    if data is None or not hasattr(config, "workerinput"):
        return data
    return masked_output.with_secrets(data, config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_report_from_serializable(data: dict[str, Any]) -> Generator[None, object, object]:
    """Learn the secrets that a worker has learned."""
    masked_output.learn_sent(data)
    return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """End a session with tests of several projects; note code, for data that are loaded once."""
    session.config.stash[SESSION].end_early_code()
    if options.runs_tests(session):
        session.config.stash[SESSION].check_belong_to_one(item.path for item in session.items)
    if any(item.get_closest_marker("dlt_load") for item in session.items):
        from pytest_dlthub.templates.session_templates import Templates

        # before a fixture replaces anything
        Templates.of(session.config)
    if not session.config.option.collectonly:
        isolates_all = session.config.stash[SESSION].isolates_all
        import_before(session.items, isolates_all=isolates_all)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each type of destination that its mark names."""
    marker = metafunc.definition.get_closest_marker("dlt_destination")
    if marker is not None:
        name = _dlt_destination_type.__name__
        if name not in metafunc.fixturenames:
            metafunc.fixturenames.append(name)
        metafunc.parametrize(name, marker.args, indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Add the fixture `dlt_loaded` to a test with the mark `dlt_load`, behind all others."""
    item.config.stash[SESSION].test_files.add(str(item.path))
    names = getattr(item, "fixturenames", None)
    if names is not None and item.get_closest_marker("dlt_load") and "dlt_loaded" not in names:
        names.append("dlt_loaded")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let the workers of pytest-xdist share loaded data."""
    # imported here: a session without workers does not need it
    from pytest_dlthub.templates import postgres_servers, store

    store.share_with_worker(node.config, node.workerinput)
    postgres_servers.listen_to(node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the summary: loaded and copied data, recordings, crashes, schema changes."""
    reports.write_summary(terminalreporter)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Drop the session's databases, and delete templates that nobody has used for long."""
    # not imported if no test has loaded data
    servers = sys.modules.get("pytest_dlthub.templates.postgres_servers")
    if servers is not None:
        servers.drop_databases(config)
    if config.getoption("dlt_reuse", False):
        from pytest_dlthub.templates import store

        store.prune_cache(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> Generator[None, list[list[str] | None], list[list[str] | None]]:
    """Explain a comparison of rows by the cells that differ, and of row counts by table."""
    if not (op == "==" and isinstance(left, list | dict) and isinstance(right, list | dict)):
        return (yield)
    from pytest_dlthub.assertions.differences import explained

    try:
        lines = explained(left, right)
    except Exception:  # values that cannot be compared: pytest explains the failure alone
        lines = None
    if lines is None:
        return (yield)
    verbosity = config.option.verbose
    # pytest's own explanation is not shown, and takes minutes for a large table
    config.option.verbose = 0
    try:
        others = yield
    finally:
        config.option.verbose = verbosity
    return [lines, *others]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Return the header: the project, its profile, and where its data go."""
    return reports.header(config.stash[SESSION])


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Run a fixture of wider scope in a sandbox of its own."""
    with in_sandbox_of_scope(fixturedef, request):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Call the hook for runs in all phases of a test, and check them."""
    is_seen = item.config.stash[SESSION].observes_all
    with reports.forgetting(item), finished_runs.told_to_hook(item) if is_seen else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """End the session on Ctrl-C while a fixture runs a pipeline."""
    session = item.config.stash[SESSION]
    try:
        with session.setup_of(item), finished_runs.failing(item, "setup"):
            return (yield)
    except pytest.fail.Exception as failure:
        tell_what_lasts(failure, session)
        raise
    except Exception as error:
        _end_on_interrupt(item, error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """End the session on Ctrl-C while a test runs a pipeline; isolate examples of Hypothesis."""
    try:
        with _isolated_examples(item), finished_runs.failing(item, "call"):
            if item.get_closest_marker("dlt_crash") is None:
                return (yield)
            from pytest_dlthub.crashes import marked_tests

            with marked_tests.broken_before(item):
                return (yield)
    except Exception as error:
        _end_on_interrupt(item, error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail the teardown if the hook has raised in it, or checks have failed."""
    with finished_runs.failing(item, "teardown"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shape the report of a failed test, and remember it for the fixture that deletes its data."""
    # a test without a sandbox is reported as without this plugin
    is_full = item.config.option.fulltrace or reports.FOLDER not in item.stash
    with ExitStack() as stack:
        item.stash[tracebacks.SHORTENING] = stack, is_full
        outcome = yield
    finished_runs.settle(item, outcome)
    if outcome.failed and not is_full:
        tracebacks.name_cause(outcome.longrepr)
        tracebacks.without_objects(outcome.longrepr)
    if outcome.failed:
        item.stash[reports.FAILED] = True
        reports.release_connections(item)
        reports.tell_of_test(item, call.excinfo and call.excinfo.value, outcome)
    masked_output.learn_secrets(item, outcome)
    reports.carry(item, outcome)
    return outcome


def _end_on_interrupt(item: pytest.Item, error: Exception) -> None:
    """Raise Ctrl-C again if dlt has wrapped it; only in a sandbox.

    Raises:
        KeyboardInterrupt: It is the cause of the error.
    """
    if reports.FOLDER in item.stash and is_interrupt(error):
        raise KeyboardInterrupt from error


def _isolated_examples(item: pytest.Item) -> AbstractContextManager[None]:
    if "hypothesis.core" not in sys.modules or reports.FOLDER not in item.stash:
        return nullcontext()
    from pytest_dlthub.scopes import isolated_examples

    return isolated_examples(item)


def _start(config: pytest.Config) -> None:
    secrets_in_texts.begin(config.pluginmanager)
    session = Session.start(config)
    config.stash[SESSION] = session
    if session.checks:
        from pytest_dlthub.checked_session import CheckedSession

        CheckedSession.begin(config)
    config.add_cleanup(secrets_in_texts.end)
    config.add_cleanup(session.stop)
    config.add_cleanup(lambda: masked_output.mask_trace_of_pytest(config))
