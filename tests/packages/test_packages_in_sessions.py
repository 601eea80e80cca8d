"""Packages in pytest sessions: their own, and those of who uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sessions import run_session

Install = Callable[..., Path]

TESTS = """
    import other_mart
    import rates_mart
    from dlthub_project import current


    def test_own_accessors_are_those_of_the_project_under_test(dlt_project):
        dlt_project.run("load_rates")
        assert rates_mart.context() is current.context()
        assert rates_mart.config().current_profile == "tests"
        assert rates_mart.catalog().dataset("rates").row_counts().fetchall() == [("daily", 1)]


    def test_another_package_is_in_the_sandbox_too(dlt_project):
        other_mart.runner().run_pipeline("load_rates")
        assert other_mart.config().name == "other_mart"
        assert other_mart.config().current_profile == "tests"


    def test_next_test_is_in_the_project_again():
        assert current.config().name == "rates_mart"
"""


def test_a_package_never_leaves_profile_and_sandbox_of_a_session(
    install: Install, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = install("rates_mart"), install("other_mart")
    monkeypatch.delenv("WORKSPACE__PROFILE", raising=False)
    pytester.makeini(f"[pytest]\ndlt_project = {roots[0]}\n")
    pytester.makepyfile(TESTS)

    result = run_session(pytester.path)

    result.assert_outcomes(passed=3)
    assert not [path for root in roots for path in root.rglob("_data")]
