"""A pytester that runs whole sessions on a small project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sessions import has_workers, run_session, run_session_apart

from dlthub_project.sandbox import ENVIRONMENT_VARIABLE

MANIFEST = """
project: {name: shop}
sources:
  orders: {type: shop.orders}
destinations:
  warehouse: {type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}
datasets:
  shop_data: {destination: [warehouse]}
pipelines:
  load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
profiles:
  prod: {}
  ci: {}
"""

SOURCE = '''
import dlt


@dlt.source
def orders():
    """Three orders, one of them with two lines."""

    @dlt.resource(primary_key="id", write_disposition="merge")
    def items():
        yield [{"id": 1, "lines": [{"n": 1}, {"n": 2}]}, {"id": 2}, {"id": 3}]

    return items
'''


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sessions under test start from an environment without dlt's or our variables."""
    telemetry = "RUNTIME__DLTHUB_TELEMETRY"
    for name in (ENVIRONMENT_VARIABLE, "WORKSPACE__PROFILE", telemetry):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kept_data(pytester: pytest.Pytester) -> Callable[[], list[Path]]:
    """Return the sandboxes that sessions have left behind; pytester gives them a --basetemp."""
    return lambda: sorted(pytester.path.glob("runpytest-*-dlt/*/*"))


@pytest.fixture
def shop(pytester: pytest.Pytester) -> Path:
    """A project whose warehouse is a PostgreSQL that must not be reached, in the test's folder."""
    (pytester.path / "dlt.yml").write_text(MANIFEST)
    (pytester.path / "sources").mkdir()
    (pytester.path / "sources" / "shop.py").write_text(SOURCE)
    return pytester.path


RunTests = Callable[..., pytest.RunResult]


@pytest.fixture
def run_pytest(pytester: pytest.Pytester) -> RunTests:
    """Run a session in this process, or with workers in a new one: `run_pytest("-v")`."""

    def run(*arguments: str) -> pytest.RunResult:
        if has_workers(arguments):
            return run_session_apart(pytester, *arguments)
        return run_session(pytester.path, *arguments)

    return run


@pytest.fixture
def run_tests(pytester: pytest.Pytester, run_pytest: RunTests) -> RunTests:
    """Do the same on the code that is given: `run_tests(code, "-v")`."""

    def run(code: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=code)
        return run_pytest("-p", "no:cacheprovider", *arguments)

    return run


@pytest.fixture
def run_tests_apart(pytester: pytest.Pytester) -> RunTests:
    """Do the same in a new process always, for where something of the process is at stake."""

    def run(code: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=code)
        return run_session_apart(pytester, "-p", "no:cacheprovider", *arguments)

    return run
