"""Checks runs that belong to no single test (`dlt_checks = on`): of fixtures and of imports."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dlthub_project.sandbox import observe_everywhere, observe_runs
from pytest_dlthub import checked_runs
from pytest_dlthub.finished_runs import is_telling, telling
from pytest_dlthub.report import WARNED, properties_of_tests

if TYPE_CHECKING:
    import dlt
    from _pytest.terminal import TerminalReporter


class CheckedSession:
    """A plugin that sessions with `dlt_checks = on` have.

    Attributes:
        failed: Lines about checks that have failed after runs which belong to no test and no
            module, such as runs of a `conftest.py`.
    """

    def __init__(self) -> None:
        """Observe the runs of this process from now on, also outside of sandboxes."""
        self.failed: list[str] = []
        # while pytest imports a module: the lines about its runs
        self._of_module: list[str] | None = None
        self._is_of_test = False
        self._observing = ExitStack()
        observe_everywhere()
        self._observing.enter_context(observe_runs(self._finished))

    @classmethod
    def begin(cls, config: pytest.Config) -> None:
        """Register the plugin until the session ends."""
        checked = cls()
        config.pluginmanager.register(checked, "dlthub_checked_session")
        config.add_cleanup(checked.end)

    def end(self) -> None:
        """Stop observing runs."""
        self._observing.close()

    def _finished(self, pipeline: dlt.Pipeline, info: Any) -> None:
        if self._is_of_test or is_telling():
            return
        with telling():
            lines = checked_runs.look_at_other(pipeline, info)
        (self.failed if self._of_module is None else self._of_module).extend(lines)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, Any]:
        """Fail the collection of a module if a run during its import fails a check."""
        self._of_module = []
        try:
            report = yield
            if self._of_module and report.passed:
                report.outcome, report.longrepr = "failed", "\n".join(self._of_module)
        finally:
            self._of_module = None
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Ignore the runs of a test: `checked_runs` looks at them."""
        with self._test():
            return (yield)

    @contextmanager
    def _test(self) -> Iterator[None]:
        self._is_of_test = True
        try:
            yield
        finally:
            self._is_of_test = False

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Count the runs of a fixture of wider scope for each test that uses it."""
        if fixturedef.scope == "function":
            return (yield)
        with checked_runs.in_fixture(fixturedef, request):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the session if checks have failed after runs that belong to no test."""
        if self.failed and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List failed checks that are warnings, or that belong to no test."""
        warned = [f"{id}: {text}" for id, text in properties_of_tests(terminalreporter, WARNED)]
        if warned or self.failed:
            terminalreporter.write_sep("=", "dlt checks")
        for line in [*dict.fromkeys(warned), *self.failed]:
            terminalreporter.write_line(line)
