"""The pytest plugin: finds the project and switches its sandbox on, before any test is imported.

Imports nothing heavy: neither dlt nor the runtime. Importing dlt alone takes longer than a small
test run. What the plugin decides goes into environment variables, which the runtime reads when
dlt is first used; so code that runs at import, and subprocesses, are in the sandbox too.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_dlthub import report
from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.fixtures import (
    _dlt_destination_type,
    _dlt_sandbox,
    dlt_config,
    dlt_destinations,
    dlt_isolated,
    dlt_project,
    dlt_project_factory,
    dlt_run,
    dlt_runs,
)

__all__ = [
    "_dlt_destination_type",
    "_dlt_sandbox",
    "dlt_config",
    "dlt_destinations",
    "dlt_isolated",
    "dlt_project",
    "dlt_project_factory",
    "dlt_run",
    "dlt_runs",
]

_MARKERS = (
    "dlt_allow_remote(*names): let this test reach the remote destinations of these names.",
    "dlt_destination(*types): run this test once on each type of destination, as `filesystem`.",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the plugin's options and ini names."""
    group = parser.getgroup("dlt", "dlt projects and pipelines")
    group.addoption(
        "--dlt-project",
        metavar="DIR",
        help="Folder of the dlt.yml to test; by default the nearest at or above the tests.",
    )
    group.addoption(
        "--dlt-profile",
        metavar="NAME",
        help="Test profile of the project; by default `tests`.",
    )
    parser.addini("dlt_project", "Folder of the dlt.yml to test, relative to this file.")
    parser.addini("dlt_profile", "Test profile of the project; by default `tests`.")
    parser.addini(
        "dlt_test_profiles",
        "Profiles that tests may run on.",
        type="args",
        default=["tests", "test", "ci"],
    )
    parser.addini(
        "dlt_keep",
        "Whose data are kept after a test: `failed`, `all` or `none`.",
        default="failed",
    )
    parser.addini(
        "dlt_allow_remote",
        "Names of the remote destinations that tests may reach.",
        type="args",
        default=[],
    )
    parser.addini(
        "dlt_isolation",
        "Have every test in a sandbox, also without a project or workspace.",
        type="bool",
        default=False,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Activate the project before the first conftest is imported."""
    _start(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and catch up where a conftest loads this plugin, which is late."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if SESSION not in config.stash:
        _start(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """End a session on a broken manifest with the manifest's own errors."""
    options = session.config.option
    is_worker = hasattr(session.config, "workerinput")
    if is_worker or options.collectonly or getattr(options, "showfixtures", False):
        return
    session.config.stash[SESSION].check_manifest()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked with several types of destinations once on each."""
    marker = metafunc.definition.get_closest_marker("dlt_destination")
    if marker is not None:
        name = _dlt_destination_type.__name__
        if name not in metafunc.fixturenames:
            metafunc.fixturenames.append(name)
        metafunc.parametrize(name, marker.args, indirect=True)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which project is tested on which profile, and where its data go."""
    return report.header(config.stash[SESSION])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shape the report of a failed test, and remember it for the fixture that deletes its data."""
    report.hide_frames_with_passwords(call)
    outcome = yield
    if outcome.failed:
        item.stash[report.FAILED] = True
        report.tell_of_kept_data(item, outcome)
    return outcome


def _start(config: pytest.Config) -> None:
    session = Session.start(config)
    config.stash[SESSION] = session
    config.add_cleanup(session.stop)
