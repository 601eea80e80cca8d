"""How a test fails by checks of its runs (`dlt_checks = on`): which report says what, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.skipping import xfailed_key

from dlthub_project.data_quality import CheckResult, CheckResults
from pytest_dlthub import checked_runs
from pytest_dlthub.assertions.noted_checks import FailedCheck
from pytest_dlthub.checked_runs import (
    ChecksOfRunFailed,
    checked,
    look_at,
    look_at_copies,
    look_at_other,
    open_failures,
    raised,
    remember_request,
    settle,
)
from pytest_dlthub.report import WARNED

UNIQUE = CheckResult("orders", "is_unique", 3, 2, "error", False)
LOW = CheckResult("orders", "between", 3, 1, "warn", False)
LINES = [
    "checks after a run of pipeline load (dlt_checks = on)",
    "orders: is_unique: 2 of 3 rows fail",
]
HELP = 'if the test expects this, write: with raises_check("orders", "is_unique"):'
PIPELINE: Any = SimpleNamespace(pipeline_name="load", dataset_name="sales")
INFO: Any = SimpleNamespace(loads_ids=["1"])


@pytest.fixture
def item(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A test whose runs load rows of which a check of severity `error` and one of `warn` fail."""
    monkeypatch.setattr(checked_runs, "_results", lambda *_: CheckResults([UNIQUE, LOW]))
    return SimpleNamespace(stash=pytest.Stash(), user_properties=[], listchain=list)


def report_of(outcome: str = "passed", when: str = "call", text: str = "", **more: Any) -> Any:
    return SimpleNamespace(
        **{"outcome": outcome, "when": when, "longreprtext": text, "sections": [], **more},
        passed=outcome == "passed",
    )


def test_a_test_that_passes_fails_by_what_its_run_has_loaded_once(item: Any) -> None:
    report, later = report_of(), report_of(when="teardown")
    with checked(item):
        look_at(item, PIPELINE, INFO)
        settle(item, report)
        settle(item, later)

    assert report.outcome == "failed"
    assert report.longrepr.splitlines() == [*LINES, HELP]
    # what is told is not told a second time; a warning is no failure
    assert later.outcome == "passed"
    assert item.user_properties == [(WARNED, f"pipeline load: {LOW}")]


def test_a_test_that_fails_by_itself_says_both(item: Any) -> None:
    other, same = report_of("failed", text="2 != 3"), report_of("failed", text="\n".join(LINES))
    for report in (other, same):
        with checked(item):
            look_at(item, PIPELINE, INFO)
            settle(item, report)

    assert other.sections == [("dlt checks", "\n".join([*LINES, HELP]))]
    # where its own error says it, once is enough
    assert same.sections == []


def test_after_a_setup_the_test_may_still_expect_what_has_failed(item: Any) -> None:
    setup = report_of(when="setup")
    with checked(item):
        look_at(item, PIPELINE, None)
        settle(item, setup)
        assert setup.outcome == "passed"
        assert [one.load_ids for one in open_failures(item)] == [()]
        error = raised(item)

    assert isinstance(error, ChecksOfRunFailed)
    assert str(error).splitlines()[:2] == LINES


@pytest.mark.parametrize(
    ("raises", "outcome"),
    [
        (None, "skipped"),
        (ChecksOfRunFailed, "skipped"),
        ((ValueError, AssertionError), "skipped"),
        (ValueError, "failed"),
    ],
)
def test_a_test_that_is_expected_to_fail_may_fail_by_checks(
    item: Any, raises: Any, outcome: str
) -> None:
    item.stash[xfailed_key] = SimpleNamespace(raises=raises)
    report = report_of("skipped", wasxfail="known")
    with checked(item):
        look_at(item, PIPELINE, INFO)
        settle(item, report)

    assert report.outcome == outcome
    assert hasattr(report, "wasxfail") is (outcome == "skipped")


def test_without_checks_of_runs_nothing_fails(item: Any) -> None:
    report = report_of()
    settle(item, report)
    look_at_copies(item, {"load": None})
    remember_request(SimpleNamespace(node=item))  # type: ignore[arg-type]

    assert (report.outcome, open_failures(item), raised(item)) == ("passed", [], None)


def test_a_run_of_no_test_tells_its_failures_as_lines(
    item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look_at_other(PIPELINE, INFO) == LINES
    monkeypatch.setattr(checked_runs, "_results", lambda *_: CheckResults([LOW]))
    assert look_at_other(PIPELINE, INFO) == []


def test_the_copies_of_a_test_are_looked_at_and_given_back(
    item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[str] = []

    def copy_of(name: str) -> Any:
        dataset = SimpleNamespace(dataset_name=name)
        return SimpleNamespace(
            dataset=dataset, load_info=None, release=lambda: released.append(name)
        )

    checks = {"sales": {"orders": [1]}}
    monkeypatch.setattr(checked_runs, "checks_of", lambda dataset: checks.get(dataset.dataset_name))
    monkeypatch.setattr(checked_runs, "_asked", lambda *_: CheckResults([UNIQUE]))
    with checked(item):
        look_at_copies(item, {"load": copy_of("sales"), "other": copy_of("unchecked")})
        [failed] = open_failures(item)

    assert isinstance(failed, FailedCheck)
    assert (failed.pipeline, failed.dataset_name) == ("load", "sales")
    assert released == ["sales"]
