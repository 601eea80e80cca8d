"""What the report of a failed test tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
@pytest.mark.usefixtures("shop")
def test_a_failed_test_tells_what_its_destinations_were(
    run_tests: RunTests, workers: list[str]
) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @pytest.fixture(scope="session")
        def loaded(dlt_project_factory):
            with dlt_project_factory() as project:
                yield project.run("load_orders")

        def test_fails(dlt_project):
            dlt_project.run("load_orders")
            dlt.pipeline("b", destination="redshift", staging="lake")
            assert 0

        def test_reads(loaded):
            loaded.rows("items")
            assert 0

        def test_passes(dlt_project):
            dlt_project.run("load_orders")

        def test_fails_without_dlt():
            assert 0
        """,
        *workers,
    )

    result.assert_outcomes(passed=1, failed=3)
    printed = [line for line in result.outlines if "->" in line or " dropped" in line]
    assert len(printed) == 4
    warehouse = "warehouse (postgres) -> DuckDB */{}/data/local/warehouse-test.duckdb"
    result.stdout.fnmatch_lines(
        [
            "*- dlt -*",
            warehouse.format("*-test_fails"),
            "redshift -> DuckDB */redshift-test.duckdb",
            "staging lake dropped",
            "the data of this test are kept in *-test_fails",
        ]
    )
    result.stdout.fnmatch_lines(["*- dlt -*", warehouse.format("*-dlt_project_factory")])
    assert "db.invalid" not in str(result.stdout)


def test_a_merge_that_tests_cannot_do_is_one_clear_error(run_tests: RunTests, shop: Path) -> None:
    result = run_tests(
        """
        import pytest

        @pytest.mark.dlt_destination("filesystem")
        def test_merges(dlt_project):
            dlt_project.run("load_orders")
        """,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E   *MergeStrategyNotSupported: Resource `items` merges its rows.*`warehouse`*",
            "E   *Say in the fixture dlt_destinations *",
        ]
    )
