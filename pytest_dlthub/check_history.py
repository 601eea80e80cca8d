"""Remembers in pytest's cache which checks tests have run, and which have ever failed.

`pytest --collect-only --dlt-checks` lists the checks that no test has ever failed: a check that was
never seen red proves nothing. A changed check counts as a new one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_KEY = "dlthub/checks"
_CARRIED = "_dlthub_checks"
_NOTES = "pytest_dlthub.assertions.noted_checks"


class CheckHistory:
    """Collects the results of checks in tests, also from workers of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._new: dict[str, dict[str, dict[str, Any]]] = {}
        self._collected: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the results of checks in a phase of a test to its report."""
        report = yield
        # not even imported if no check has run
        if _NOTES in sys.modules and (found := sys.modules[_NOTES].taken_results()):
            setattr(report, _CARRIED, found)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over the results of checks from a report."""
        for identity, found in getattr(report, _CARRIED, {}).items():
            noted = self._new.setdefault(report.nodeid, {}).setdefault(identity, found)
            noted["failed"] = noted["failed"] or found["failed"]

    def pytest_sessionfinish(self) -> None:
        """Write the results to the cache; workers leave that to their controller."""
        cache = self._cache
        if not self._new or cache is None or hasattr(self._config, "workerinput"):
            return
        # read only now, since another session may have written it
        checks, tests = self._read()
        for nodeid, found in self._new.items():
            tests[nodeid] = sorted(found)
            for identity, one in found.items():
                known = checks.setdefault(identity, {**one, "failed": ""})
                if one["failed"] and not known["failed"]:
                    known["failed"] = nodeid
        cache.set(_KEY, {"checks": checks, "tests": tests})

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which tests exist."""
        self._collected = [item.nodeid for item in session.items]

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List the checks that no test has ever failed, if an option asks for it."""
        if self._config.option.collectonly and self._config.stash[SESSION].checks:
            terminalreporter.write_sep("=", "dlt checks that no test has ever failed")
            for line in self._listed():
                terminalreporter.write_line(line)

    def _listed(self) -> Iterator[str]:
        if self._cache is None:
            yield "pytest's cache is off (-p no:cacheprovider): nothing is known of earlier tests"
        checks, tests = self._read()
        yield from self._not_imported()
        known = self._known(checks, tests)
        red = {name for key, one in checks.items() if one["failed"] for name in (key, one["also"])}
        uses = [checks[key] | {"key": key} for keys in tests.values() for key in keys]
        green = [one for key, one in known.items() if key not in red]
        for label in sorted({(one["table"], one["check"]) for one in green}):
            keys = {one["key"] for one in green if (one["table"], one["check"]) == label}
            count = sum(1 for use in uses if keys & {use["key"], use["also"]})
            looked = f"it has held in {count} {'test' if count == 1 else 'tests'}" if count else ""
            yield f"{label[0]}: {label[1]}: {looked or 'no test has looked at it'}"
        if not known:
            yield "no check is known here"
        elif green:
            yield (
                f"{len(green)} of {len(known)} checks: one that was never seen red proves nothing. "
                "Give rows that break it: with raises_check(table, check)"
            )
        else:
            yield f"none: each of {len(known)} checks was seen red"
        if not tests:
            yield "no test has looked at a check yet, as far as pytest's cache knows"
        yield (
            "Known are checks of dlt.yml, of modules that are imported here, and those that these "
            "tests have looked at. One that is made when a source is called is known after its run."
        )

    def _known(self, checks: dict[str, Any], tests: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the current checks by their identities."""
        found = {}
        for name, check in (*_declared(), *self._of_manifest()):
            key = identity_of(name, check)
            found[key] = {"table": name, "check": check.name, "key": key}
        labels = {(one["table"], one["check"]) for one in found.values()}
        for nodeid in self._collected:
            for key in tests.get(nodeid, ()):
                one = checks.get(key)
                if one is None or key in found or one["also"] in found:
                    continue
                # a check whose declaration has changed counts as a new one
                if labels.isdisjoint(
                    {(one["table"], one["check"]), (one["resource"], one["check"])}
                ):
                    found[key] = {**one, "key": key}
        return found

    def _of_manifest(self) -> Iterator[tuple[str, Any]]:
        if not self._has_project:
            return
        from dlthub_project import current
        from dlthub_project.data_quality import checks_in_project

        for dataset in current.entities().list_datasets():
            for table, checks in checks_in_project(dataset).items():
                yield from ((table, check) for check in checks)

    @property
    def _has_project(self) -> bool:
        session = self._config.stash[SESSION]
        return session.is_project and not session.is_left_to_dlthub

    def _not_imported(self) -> Iterator[str]:
        """Import the code of the project's sources, which declares checks; yield its errors."""
        if not self._has_project:
            return
        from dlthub_project import current

        entities = current.entities()
        for name in entities.list_sources():
            if error := _error_of(partial(entities.get_source, name)):
                kind = type(error).__name__
                yield f"source `{name}` cannot be imported ({kind}): its checks are not known"

    @property
    def _cache(self) -> Any:
        return getattr(self._config, "cache", None)

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        found = self._cache.get(_KEY, None) if self._cache is not None else None
        if not isinstance(found, dict):
            return {}, {}
        return dict(found.get("checks", {})), dict(found.get("tests", {}))


def _error_of(function: Callable[[], object]) -> Exception | None:
    try:
        function()
    except Exception as error:
        return error
    return None


def _declared() -> list[tuple[str, Any]]:
    """Return the tables with checks of code; a resource stands for tables that it makes later."""
    from dlthub_project.data_quality import declared_checks

    return declared_checks()


def identity_of(name: str, check: Any) -> str:
    """Return the identity of a check, see `noted_checks.identity`."""
    from pytest_dlthub.assertions.noted_checks import identity

    return identity(name, check)
