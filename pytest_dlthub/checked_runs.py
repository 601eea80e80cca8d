"""Checks every run of a test (`dlt_checks = on`), and fails the test if checks fail.

The test fails when its function ends. Until then it may expect the failure, and code that handles
errors could swallow ours. A run of a fixture of wider scope fails each test that uses the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dlthub_project.data_quality import (
    CheckResult,
    CheckResults,
    check_dataset,
    checks_of,
    without_rows,
)
from dlthub_project.data_quality.loaded_data import loaded_dataset
from dlthub_project.dlt_internals import pipelines
from dlthub_project.errors import ProjectError
from pytest_dlthub.assertions.data_checks import ChecksFailed, lines_of
from pytest_dlthub.assertions.noted_checks import FailedCheck, NotedChecks, note_results, noting
from pytest_dlthub.report import WARNED

if TYPE_CHECKING:
    import dlt

    from dlthub_project.data_quality import Check

_TITLE = "checks after a run of pipeline {} (dlt_checks = on)"

_NOTED = pytest.StashKey[NotedChecks]()
_REQUEST = pytest.StashKey[pytest.FixtureRequest]()
# on the node of a module, class, package or session: failed checks by the name of its fixture
_BY_FIXTURE = pytest.StashKey[dict[str, list[FailedCheck]]]()

# the failed checks of each fixture whose setup runs now
_set_up: list[list[FailedCheck]] = []


class ChecksOfRunFailed(ChecksFailed, pytest.fail.Exception):  # type: ignore[misc, name-defined]  # pytest's annotations do not tell that it is a class
    """Checks have failed after runs of a test."""

    # as of pytest's own outcomes: its message stands alone
    __module__ = "builtins"

    def __init__(self, failed: list[FailedCheck]) -> None:
        lines = _told(failed)
        pytest.fail.Exception.__init__(self, "\n".join(lines), pytrace=False)
        ChecksFailed.__init__(self, CheckResults([one.result for one in failed]), lines)


@contextmanager
def checked(item: pytest.Item) -> Iterator[None]:
    """Note the failed checks of a test; the block lasts from its setup to its teardown."""
    item.stash[_NOTED] = NotedChecks()
    with noting(item.stash[_NOTED]):
        yield


def look_at(item: pytest.Item, pipeline: dlt.Pipeline, info: Any) -> None:
    """Check the data that a run of a test has loaded, and note failed checks."""
    results = _results(pipeline, info)
    _note(item, pipeline.pipeline_name, pipeline.dataset_name, info, results)


def look_at_other(pipeline: dlt.Pipeline, info: Any) -> list[str]:
    """Check the data of a run that belongs to no test, and return lines about failed checks."""
    results = _results(pipeline, info).failed
    lines = [line for one in results if one.severity == "error" for line in lines_of(one)]
    return [_TITLE.format(pipeline.pipeline_name), *lines] if lines else []


def look_at_copies(item: pytest.Item, runs: Mapping[str, Any]) -> None:
    """Check a test's copies of data that are loaded once, and note failed checks."""
    if _NOTED not in item.stash:
        return
    for name, run in runs.items():
        if checks := checks_of(run.dataset):
            info = run.load_info
            results = _asked(run.dataset, checks, info)
            _note(item, name, run.dataset.dataset_name, info, results)
            # others may want to write to it
            run.release()


def _results(pipeline: dlt.Pipeline, info: Any) -> CheckResults:
    if not pipeline.schema_names or pipeline.destination is None:
        return CheckResults([])
    dataset = loaded_dataset(pipeline)
    loaded = {package.schema_name for package in info.load_packages} if info else set()
    # after a run that has loaded nothing we check the data that are there
    name = pipelines.requested_dataset_name(pipeline)
    try:
        checks = checks_of(dataset, loaded or None, name=name)
    except ProjectError as error:
        why = CheckResult(name, "checks of dlt.yml", 0, 0, "error", False, error=error.reason)
        return CheckResults([why])
    found = _asked(dataset, checks, info) if checks else ()
    return CheckResults([*found, *without_rows(dataset, pipeline.last_trace, info)])


def _asked(dataset: dlt.Dataset, checks: Mapping[str, Sequence[Check]], info: Any) -> CheckResults:
    results = check_dataset(dataset, checks, info)
    note_results(dataset, checks, results)
    return results


def _note(
    item: pytest.Item, pipeline: str, dataset_name: str, info: Any, results: CheckResults
) -> None:
    failed: list[FailedCheck] = []
    load_ids = tuple(info.loads_ids) if info is not None else ()
    for result in results.failed:
        if result.severity == "error":
            lines = lines_of(result)
            failed.append(FailedCheck(pipeline, dataset_name, load_ids, result, lines))
        else:
            item.user_properties.append((WARNED, f"pipeline {pipeline}: {result}"))
    item.stash[_NOTED].add(failed)
    for of_fixture in _set_up:
        of_fixture += failed


@contextmanager
def in_fixture(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Iterator[None]:
    """Count checks that fail in the setup of a fixture for each test that uses the fixture."""
    own: list[FailedCheck] = []
    before = set(request.fixturenames)
    _set_up.append(own)
    try:
        yield
    finally:
        # the last, by identity: empty lists are equal
        del _set_up[len(_set_up) - 1 - [*map(id, reversed(_set_up))].index(id(own))]
        # pytest may have set up the fixtures that it asks for with another test
        asked = {*fixturedef.argnames, *(set(request.fixturenames) - before)}
        for name in asked - {fixturedef.argname}:
            own += [one for one in _of_fixture(request.node, name) if one not in own]
        found = request.node.stash.setdefault(_BY_FIXTURE, {})
        found[fixturedef.argname] = own
        fixturedef.addfinalizer(lambda: found.pop(fixturedef.argname, None))


def remember_request(request: pytest.FixtureRequest) -> None:
    """Keep the request of a test: it knows its fixtures, also those that it asks for later."""
    request.node.stash[_REQUEST] = request
    if _NOTED in request.node.stash:
        # a fixture of wider scope has run once, and counts for each attempt at the test
        request.node.stash[_NOTED].begin_again()


def _of_fixture(node: Any, name: str) -> list[FailedCheck]:
    """Return the failed checks of the nearest fixture of that name."""
    of_nodes = (around.stash.get(_BY_FIXTURE, {}) for around in reversed(node.listchain()))
    return next((found[name] for found in of_nodes if name in found), [])


def open_failures(item: pytest.Item) -> list[FailedCheck]:
    """Return the failed checks of a test that it did not expect and no report has told yet."""
    noted = item.stash.get(_NOTED, None)
    if noted is None:
        return []
    request = item.stash.get(_REQUEST, None)
    for name in request.fixturenames if request is not None else ():
        noted.add(_of_fixture(item, name))
    return noted.open()


def raised(item: pytest.Item) -> ChecksOfRunFailed | None:
    """Return the error for the `open_failures` of a test; None if there are none."""
    failed = open_failures(item)
    return ChecksOfRunFailed(failed) if failed else None


def settle(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add failed checks to the report of a phase, and make it a failure.

    After a setup that passes, the test goes on, and may expect them. For a test that is marked
    `xfail` they are the expected failure, unless the mark names other errors.
    """
    if report.when == "setup" and report.passed:
        open_failures(item)
        return
    failed = open_failures(item)
    if not failed:
        return
    item.stash[_NOTED].settle(failed)
    lines = _told(failed)
    if report.outcome != "failed" and not _is_expected(item, report):
        report.outcome, report.longrepr = "failed", "\n".join(lines)
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    elif any(line not in report.longreprtext for one in failed for line in one.lines):
        report.sections.append(("dlt checks", "\n".join(lines)))


def _is_expected(item: pytest.Item, report: pytest.TestReport) -> bool:
    from _pytest.skipping import xfailed_key

    mark = item.stash.get(xfailed_key, None)
    if not hasattr(report, "wasxfail") or mark is None:
        return False
    raises: Any = mark.raises
    return raises is None or (
        isinstance(raises, type | tuple) and issubclass(ChecksOfRunFailed, raises)
    )


def _told(failed: list[FailedCheck]) -> list[str]:
    lines: list[str] = []
    for one in failed:
        title = _TITLE.format(one.pipeline)
        lines += [*([title] if title not in lines else []), *one.lines]
    first = failed[0].result
    expected = f'with raises_check("{first.table}", "{first.check}"):'
    return [*lines, f"if the test expects this, write: {expected}"]
