"""Tests that are run again, by pytest-rerunfailures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]
KeptData = Callable[[], list[Path]]

FLAKY = """
    import os
    import dlt

    attempts = []
    at_import = dlt.pipeline("at_import", destination="warehouse", dataset_name="data")

    @dlt.resource
    def users(since=dlt.sources.incremental("id")):
        yield [{{"id": 1}}, {{"id": 2}}]

    def test_flaky(dlt_project, dlt_runs, dlt_config, caplog):
        attempts.append(1)
        assert len(dlt_runs) == 0
        assert not os.path.exists(dlt_project.config.local_dir + "/warehouse-test.duckdb")
        assert "LEAKED" not in os.environ and "mine.key" not in dlt_config
        os.environ["LEAKED"] = dlt_config["mine.key"] = "x"

        dlt_project.run("load_orders")
        at_import.run(users())

        assert [run.row_counts.get("users") for run in dlt_runs] == [None, 2]
        assert len(at_import.dataset().table("users").fetchall()) == 2
        assert len(attempts) > {failures}, "flaky"
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_rerun_starts_clean_and_when_it_passes_nothing_is_kept(
    shop: Path, run_tests: RunTests, kept_data: KeptData, workers: str
) -> None:
    result = run_tests(FLAKY.format(failures=2), "--reruns=2", "-n", workers)

    assert result.parseoutcomes() == {"passed": 1, "rerun": 2}
    assert kept_data() == []


@pytest.mark.parametrize(("keep", "attempts"), [("failed", 1), ("all", 3), ("none", 0)])
@pytest.mark.slow
def test_of_a_test_that_fails_again_and_again_the_last_data_are_kept(
    shop: Path, run_tests: RunTests, kept_data: KeptData, keep: str, attempts: int
) -> None:
    (shop / "pytest.ini").write_text(f"[pytest]\ndlt_keep = {keep}\n")

    result = run_tests(FLAKY.format(failures=9), "--reruns=2")

    assert result.parseoutcomes() == {"failed": 1, "rerun": 2}
    kept = [folder.name.partition("-")[2] for folder in kept_data()]
    assert kept == ["test_flaky"] * attempts
    if attempts:
        result.stdout.fnmatch_lines([f"*data of this test are kept in {kept_data()[-1]}"])


def test_a_test_that_fails_in_its_setup_is_isolated_when_it_is_run_again(
    shop: Path, run_tests: RunTests, kept_data: KeptData
) -> None:
    result = run_tests(
        """
        import pytest

        attempts = []

        @pytest.fixture
        def loaded(dlt_project):
            attempts.append(1)
            run = dlt_project.run("load_orders")
            assert len(run.rows("items")) == 3
            assert len(attempts) > 1, "flaky"
            return run

        def test_rows(loaded):
            assert loaded.row_counts["items"] == 3
        """,
        "--reruns=1",
    )

    assert result.parseoutcomes() == {"passed": 1, "rerun": 1}
    assert kept_data() == []
