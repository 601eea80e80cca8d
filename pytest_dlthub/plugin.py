"""The pytest plugin: finds the project and switches its sandbox on, before any test is imported.

Imports nothing heavy: neither dlt nor the runtime. Importing dlt alone takes longer than a small
test run. What the plugin decides goes into environment variables, which the runtime reads when
dlt is first used; so code that runs at import, and subprocesses, are in the sandbox too.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_dlthub import report
from pytest_dlthub.activation import SESSION, Session
from pytest_dlthub.fixtures import (
    _dlt_sandbox,
    dlt_isolated,
    dlt_project,
    dlt_run,
)

if TYPE_CHECKING:
    from _pytest.reports import TestReport

__all__ = ["_dlt_sandbox", "dlt_isolated", "dlt_project", "dlt_run"]


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


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Activate the project before the first conftest is imported."""
    _start(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Catch up where a conftest loads this plugin, which is late."""
    if SESSION not in config.stash:
        _start(config)


def _start(config: pytest.Config) -> None:
    session = Session.start(config)
    config.stash[SESSION] = session
    config.add_cleanup(session.stop)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which project is tested on which profile, and where its data go."""
    return report.header(config.stash[SESSION])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, TestReport, TestReport]:
    """Remember whether the test failed, for the fixture that deletes its data."""
    outcome = yield
    if outcome.failed:
        item.stash[report.FAILED] = True
    return outcome
