"""Pipelines that code keeps from one test to the next."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunTests = Callable[..., pytest.RunResult]


@pytest.mark.slow
@pytest.mark.usefixtures("shop")
def test_a_kept_pipeline_starts_anew_and_that_of_a_fixture_goes_on(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import functools
        import dlt
        import pytest

        at_import = dlt.pipeline("at_import", destination="bigquery")

        @functools.lru_cache
        def kept():
            return dlt.pipeline("kept", destination="bigquery")

        @pytest.fixture(scope="module")
        def of_the_module():
            pipeline = dlt.pipeline("of_the_module", destination="bigquery")
            pipeline.run([{"id": 1}], table_name="rows")
            return pipeline

        @pytest.mark.parametrize("n", [1, 2, 3])
        def test_kept(n, of_the_module):
            for pipeline in (kept(), at_import):
                assert pipeline.first_run
                assert not pipeline.has_data
                assert pipeline.last_trace is None
                pipeline.run([{"id": n}], table_name="rows")
                assert pipeline.dataset().table("rows").select("id").fetchall() == [(n,)]
            assert of_the_module.has_data
            assert of_the_module.dataset().table("rows").select("id").fetchall() == [(1,)]
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=3)
