"""Ini option `dlt_loader_file_format`: how rows get into temporary destinations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from processes import with_forks

RunTests = Callable[..., pytest.RunResult]

# prints, for each way to load three rows, the formats of the files that dlt loaded
SUITE = """
import subprocess
import sys

import dlt

ROWS = [{"id": 1}, {"id": 2}, {"id": 3}]
SUBPROCESS = '''
import dlt
info = dlt.pipeline("sub", destination="warehouse").run([{"id": 1}], table_name="rows")
print(*{j.job_file_info.file_format for j in info.load_packages[0].jobs["completed_jobs"]})
'''


def formats(info):
    jobs = info.load_packages[0].jobs["completed_jobs"]
    return " ".join(sorted({job.job_file_info.file_format for job in jobs}))


AT_IMPORT = dlt.pipeline("at_import", destination="warehouse").run(ROWS, table_name="rows")


def test_formats(dlt_project, dlt_run, dlt_runs):
    print("at import:", formats(AT_IMPORT))
    print("project:", formats(dlt_project.run("load_orders").load_info))
    print("rows:", formats(dlt_run(ROWS, table_name="rows").load_info))
    many = [{"id": i} for i in range(9000)]
    print("many rows:", formats(dlt_run(many, table_name="rows").load_info))
    named = dlt_run(ROWS, table_name="named", loader_file_format="insert_values")
    print("named:", named.load_info.load_packages[0].jobs["completed_jobs"][0].file_path)
    print("declared:", formats(dlt.pipeline("d", destination="local").run(ROWS, table_name="rows")))
    out = subprocess.run([sys.executable, "-c", SUBPROCESS], capture_output=True, text=True)
    print("subprocess:", out.stdout, out.stderr)
    assert len(dlt_project.dataset("shop_data")["items"].fetchall()) == 3
"""


@pytest.fixture
def with_local(shop: Path) -> Path:
    """The project, with a DuckDB declared beside its warehouse."""
    manifest = (shop / "dlt.yml").read_text()
    (shop / "dlt.yml").write_text(
        manifest.replace("destinations:\n", "destinations:\n  local: {type: duckdb}\n")
    )
    return shop


@pytest.mark.parametrize(
    ("ini", "few", "many"),
    [
        ("", "insert_values", "parquet"),
        ("dlt_loader_file_format = insert_values", "insert_values", "insert_values"),
        pytest.param("dlt_loader_file_format = jsonl", "jsonl", "jsonl", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_rows_are_loaded_as_the_ini_option_says_and_by_default_as_is_fastest(
    with_local: Path, run_tests: RunTests, ini: str, few: str, many: str
) -> None:
    (with_local / "pytest.ini").write_text(f"[pytest]\n{ini}\n")

    result = run_tests(with_forks(SUITE), "-s")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            f"*at import: {few}",
            # what merges is SQL
            f"project: {few} sql",
            f"rows: {few}",
            f"many rows: {many}",
            "named: *.insert_values*",
            "declared: insert_values",
            f"subprocess: {few}*",
        ]
    )


def test_plain_code_is_loaded_as_the_ini_option_says(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makeini("[pytest]\ndlt_loader_file_format = jsonl\n")

    result = run_tests(
        """
        import dlt

        def test_formats(dlt_runs):
            dlt.pipeline("x", destination="bigquery").run([{"id": 1}], table_name="rows")
            jobs = dlt_runs.last.load_info.load_packages[0].jobs["completed_jobs"]
            assert {job.job_file_info.file_format for job in jobs} == {"jsonl"}
        """
    )

    result.assert_outcomes(passed=1)


def test_error_when_the_format_is_unknown_lists_the_valid_ones(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makeini("[pytest]\ndlt_loader_file_format = csv\n")

    result = run_tests("def test_it(): pass")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: dlt_loader_file_format: insert_values, jsonl or parquet is expected, not 'csv'"]
    )
