"""What a session whose runs are checked does besides: runs of fixtures, of imports, of nobody."""

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
    """A plugin that is there where runs are checked.

    Attributes:
        failed: What has failed after runs that are of no test and no module, such as those of a
            `conftest.py`, as lines.
    """

    def __init__(self) -> None:
        """See the runs of this process from here on, also those outside of sandboxes."""
        self.failed: list[str] = []
        # of a module that is imported
        self._of_module: list[str] | None = None
        self._is_of_test = False
        self._observing = ExitStack()
        observe_everywhere()
        self._observing.enter_context(observe_runs(self._finished))

    @classmethod
    def begin(cls, config: pytest.Config) -> None:
        """Register it, until the session ends."""
        checked = cls()
        config.pluginmanager.register(checked, "dlthub_checked_session")
        config.add_cleanup(checked.end)

    def end(self) -> None:
        """See no more runs."""
        self._observing.close()

    def _finished(self, pipeline: dlt.Pipeline, info: Any) -> None:
        if self._is_of_test or is_telling():
            return
        with telling():
            lines = checked_runs.look_at_other(pipeline, info)
        (self.failed if self._of_module is None else self._of_module).extend(lines)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, Any]:
        """Fail the collection of a module whose import runs what fails a check."""
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
        """Leave the runs of a test to the test."""
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
        """Have what a fixture of wider scope has run be of each test that has the fixture."""
        if fixturedef.scope == "function":
            return (yield)
        with checked_runs.in_fixture(fixturedef, request):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session in which runs of nobody have failed checks."""
        if self.failed and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Tell which checks have failed that are warnings, or after runs that are of no test."""
        warned = [f"{id}: {text}" for id, text in properties_of_tests(terminalreporter, WARNED)]
        if warned or self.failed:
            terminalreporter.write_sep("=", "dlt checks")
        for line in [*dict.fromkeys(warned), *self.failed]:
            terminalreporter.write_line(line)
