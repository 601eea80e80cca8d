"""The plugin of `--dlt-cov`: collects what tests cover, also in workers, and reports it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION
from pytest_dlthub.data_coverage import coverage_reports
from pytest_dlthub.data_coverage.coverage_reports import Summary
from pytest_dlthub.data_coverage.facts import Facts
from pytest_dlthub.report import FOLDER

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_dlthub.data_coverage.coverage_recorder import Recorder

_CARRIED, _OF_WORKER = "_dlthub_data_coverage", "dlthub_data_coverage"


class DataCoverage:
    """Measures what tests cover; only `--dlt-cov` registers it."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the options.

        Raises:
            UsageError: An option has a value that is not allowed.
        """
        self._config = config
        self._reports = coverage_reports.requested_reports(config)
        self._minimum: float | None = config.getoption("dlt_cov_fail_under")
        self._stack = ExitStack()
        config.add_cleanup(self._stack.close)
        self._recorder: Recorder | None = None
        # facts of the session: of all workers, or of this process
        self._total = Facts()
        self._without_sandbox = 0
        # what this process has sent
        self._sent = Facts()
        self._of_test = Facts()
        self._has_passed = True
        self._test = ""
        self._of_fixtures: dict[str, list[tuple[str, Facts]]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Begin a test, or another attempt at it."""
        self._of_test, self._has_passed, self._test = Facts(), True, item.nodeid
        recorder = self._started()
        if recorder is not None:
            recorder.target = self._of_test
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Count what a fixture of wider scope covers for every test that uses it."""
        recorder = self._started()
        if recorder is None or fixturedef.scope == "function":
            return (yield)
        facts = Facts()
        try:
            with recorder.into(facts):
                return (yield)
        finally:
            recorder.add(facts)
            of_name = self._of_fixtures.setdefault(fixturedef.argname, [])
            of_name.append((fixturedef.baseid, facts))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what a test covers to its last report, if it has passed."""
        report = yield
        # a test that is expected to fail would not notice a fault
        self._has_passed &= report.passed and not hasattr(report, "wasxfail")
        folder = item.stash.get(FOLDER, None)
        if report.when == "call" and self._recorder is not None and folder is not None:
            # now: a test that has passed deletes its folder
            self._recorder.look_for_subprocesses(folder)
        if report.when == "teardown" and self._recorder is not None:
            self._end(item, report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what tests cover; note that a subtest has failed in a test that passes."""
        if report.failed and report.nodeid == self._test:
            self._has_passed = False
        found = getattr(report, _CARRIED, None)
        if found is not None and not hasattr(self._config, "workerinput"):
            self._total.add(Facts.from_json(found["facts"]))
            self._without_sandbox += found["without_sandbox"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker knows besides its tests. A worker that has crashed sends nothing."""
        found = (getattr(node, "workeroutput", None) or {}).get(_OF_WORKER)
        if found is not None:
            self._total.add(Facts.from_json(found))

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Write the reports, and fail a session that covers too little."""
        if hasattr(self._config, "workerinput"):
            if self._recorder is not None:
                known = self._recorder.owners.known().to_json()
                self._config.workeroutput[_OF_WORKER] = known  # type: ignore[attr-defined]  # of pytest-xdist
            return (yield)
        yield
        summary = self._summary()
        if summary is None:
            return None
        for report in self._reports:
            report.write(summary)
        if summary.is_below(self._minimum) and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return None

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Show the table."""
        summary = self._summary()
        if summary is None:
            return
        lines = [line for report in self._reports for line in report.lines(summary, self._config)]
        if summary.is_below(self._minimum):
            lines.append(
                f"FAIL: the tests cover {summary.percent_shown}, less than the "
                f"{self._minimum:g} % of --dlt-cov-fail-under"
            )
        if lines:
            terminalreporter.write_sep("=", "dlt coverage")
            for line in lines:
                terminalreporter.write_line(line)

    def _started(self) -> Recorder | None:
        """Return the recorder, once something has imported dlt."""
        if self._recorder is None and "dlt" in sys.modules:
            from dlthub_project.sandbox import observe_runs, watched_by
            from pytest_dlthub.data_coverage.active_recorder import recorded_by
            from pytest_dlthub.data_coverage.coverage_recorder import Recorder

            self._recorder = recorder = Recorder(self._config.stash[SESSION])
            recorder.target = self._of_test
            self._stack.enter_context(watched_by(recorder))
            self._stack.enter_context(observe_runs(recorder.finished))
            self._stack.enter_context(recorded_by(recorder))
        return self._recorder

    def _end(self, item: pytest.Item, report: pytest.TestReport) -> None:
        assert self._recorder is not None
        self._recorder.owners.look_at_imported()
        found = Facts()
        found.add(self._of_test, has_passed=self._has_passed)
        for name in getattr(item, "fixturenames", ()):
            for baseid, facts in self._of_fixtures.get(name, ()):
                if item.nodeid.startswith(baseid):
                    found.add(facts, has_passed=self._has_passed)
        new = found.without(self._sent)
        self._sent.add(new)
        is_apart = self._has_passed and FOLDER not in item.stash
        if new or is_apart:
            carried = {"facts": new.to_json(), "without_sandbox": int(is_apart)}
            setattr(report, _CARRIED, carried)
        if (folder := item.stash.get(FOLDER, None)) is not None:
            self._recorder.forget(str(folder))

    def _summary(self) -> Summary | None:
        """Return what is covered; None where no test was run."""
        option = self._config.option
        if option.collectonly or hasattr(self._config, "workerinput"):
            return None
        facts = Facts()
        facts.add(self._total)
        owners = self._recorder.owners if self._recorder is not None else None
        if owners is None:
            from pytest_dlthub.data_coverage.source_owners import Owners

            # without a test that uses dlt, or with all of them in workers
            owners = Owners(self._config.stash[SESSION])
        facts.add(owners.known())
        return Summary(facts, self._without_sandbox)
