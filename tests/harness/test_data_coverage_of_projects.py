"""`--dlt-cov` in sessions on a project: its options, its reports, its workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunTests = Callable[..., pytest.RunResult]

MANIFEST = """
project: {name: shop}
sources:
  orders: {type: shop.orders}
  again: {type: shop.other}
  never: {type: shop.third}
destinations:
  warehouse: {type: bigquery}
datasets:
  shop_data: {destination: [warehouse]}
pipelines:
  load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
  load_again: {source: again, destination: warehouse, dataset_name: shop_data}
  load_never: {source: never, destination: warehouse, dataset_name: shop_data}
profiles:
  tests: {}
  prod: {}
  staging: {}
"""

SOURCES = """
import dlt


def rows():
    yield [{"id": 1, "name": "tea"}]


@dlt.source
def orders():
    return dlt.resource(rows, name="items", primary_key="id", write_disposition="merge")


@dlt.source
def other():
    return dlt.resource(rows, name="items")


@dlt.source
def third():
    return dlt.resource(rows, name="items")
"""

TESTS = """
    import unittest
    import pytest
    from sources.shop import other


    def test_run(dlt_project):
        run = dlt_project.run("load_orders")
        assert run.rows("items") == [{"id": 1, "name": "tea"}]


    def test_its_pipeline_with_other_data(dlt_project):
        dlt_project.run("load_never", data=[{"id": 1}], table_name="items")


    def test_code_of_a_declared_source(dlt_run):
        dlt_run(other())


    def test_catalog(dlt_project):
        dlt_project.run("load_again")
        dlt_project.catalog.dataset("shop_data").table("items").select("id").df()


    def test_profile(dlt_project):
        dlt_project.check("prod")


    def test_profile_that_is_not_checked(dlt_project):
        dlt_project.check("staging")
        pytest.skip("later")


    class TestOfUnittest(unittest.TestCase):
        def test_with_a_part_that_fails(self):
            from dlthub_project import current
            current.runner().run_pipeline("load_orders")
            with self.subTest("a part"):
                assert True
"""


IN_A_CHILD = """
    import subprocess
    import sys
    import unittest
    import pytest
    from sources.shop import orders

    CODE = "from dlthub_project import current; current.runner().run_pipeline('load_never')"


    def test_in_a_child(dlt_project):
        subprocess.run([sys.executable, "-c", CODE], check=True)


    @pytest.mark.flaky(reruns=1)
    def test_that_passes_the_second_time(dlt_run, tmp_path_factory):
        file = tmp_path_factory.getbasetemp() / "tried"
        run = dlt_run(orders())
        assert file.exists() or file.touch()
        run.rows("items", "id")


    class TestOfUnittest(unittest.TestCase):
        def test_with_a_part_that_fails(self):
            from dlthub_project import current
            current.runner().run_pipeline("load_again")
            with self.subTest("a part"):
                assert False
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Path:
    (pytester.path / "dlt.yml").write_text(MANIFEST)
    (pytester.path / "sources").mkdir()
    (pytester.path / "sources" / "shop.py").write_text(SOURCES)
    return pytester.path


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found["dimensions"]


def missing(figures: dict[str, Any]) -> list[str]:
    return [item["name"] for item in figures["missing"]]


def test_what_is_said_of_a_project_in_all_reports(suite: Path, run_tests: RunTests) -> None:
    kinds = ("term-missing", "json:out/it.json", "markdown:it.md", "markdown-append:it.md")
    result = run_tests(
        TESTS,
        "--dlt-cov",
        "--dlt-cov-fail-under=80",
        *(f"--dlt-cov-report={kind}" for kind in kinds),
    )

    result.assert_outcomes(passed=6, skipped=1)
    found = read(suite / "out" / "it.json")
    pipelines, sources = found["pipelines"], found["sources"]
    # with other data, it is not the pipeline
    assert (pipelines["covered"], missing(pipelines)) == (
        ["load_again", "load_orders"],
        ["load_never"],
    )
    # its code alone, without the project, is the same source
    assert (sources["covered"], missing(sources)) == (["again", "orders"], ["never"])
    assert found["profiles"]["covered"] == ["prod", "tests"]
    assert missing(found["profiles"]) == ["staging"]
    assert found["reads"]["covered"] == ["again.items.id", "orders.items.id", "orders.items.name"]
    assert missing(found["reads"]) == ["again.items.name"]
    assert missing(found["keys"]) == ["orders.items: id"]
    # 17 of 24 are covered
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*= dlt coverage =*",
            "*covered   of   unknown*",
            "pipelines run *2    3 *66.6 %",
            "all *70.8 %",
            "missing from pipelines run: load_never",
            "missing from columns looked at: again.items.name",
            "FAIL: the tests cover 70.8 %, less than the 80 % of --dlt-cov-fail-under",
        ]
    )
    text = (suite / "it.md").read_text()
    assert text.count("## dlt coverage: 70.8 %") == 2
    assert "| pipelines run | 2 | 3 |  | 66.6 % |" in text
    assert "- `load_never`" in text


def test_what_cannot_be_said_is_an_error(suite: Path, run_tests: RunTests) -> None:
    for arguments, message in (
        (["--dlt-cov-fail-under=1"], "--dlt-cov-fail-under needs --dlt-cov"),
        (["--dlt-cov-report=term"], "--dlt-cov-report needs --dlt-cov"),
        (["--dlt-cov", "--dlt-cov-report=xml"], "--dlt-cov-report: term, term-missing, json*'xml'"),
    ):
        result = run_tests("def test(): pass", *arguments)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{message}*"])


def test_nothing_covered_is_below_any_minimum(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makepyfile(shop=SOURCES)
    code = """
        import dlt
        import shop

        def test_without_a_sandbox(tmp_path):
            pipeline = dlt.pipeline("p", destination="duckdb", pipelines_dir=str(tmp_path))
            assert pipeline.extract(shop.orders())
    """
    result = run_tests(code, "--dlt-cov", "--dlt-cov-fail-under=1")

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["sources run *0    3 *0 %", "1 test runs without a sandbox, and what *is unknown*"]
    )


@pytest.mark.slow
def test_workers_say_the_same(suite: Path, run_tests: RunTests) -> None:
    for name, count in (("one", "0"), ("two", "2")):
        run_tests(TESTS, "--dlt-cov", f"--dlt-cov-report=json:{name}.json", "-n", count)

    assert (suite / "one.json").read_text() == (suite / "two.json").read_text()


@pytest.mark.slow
def test_what_other_processes_run_is_unknown_and_a_first_attempt_covers_nothing(
    suite: Path, run_tests: RunTests
) -> None:
    result = run_tests(IN_A_CHILD, "--dlt-cov", "--dlt-cov-report=json:it.json")

    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes["failed"], outcomes["rerun"]) == (3, 1, 1)
    found = read(suite / "it.json")
    assert found["pipelines"]["unknown"] == ["load_never"]
    assert missing(found["pipelines"]) == ["load_again", "load_orders"]
    assert found["sources"] == {
        "title": "sources run",
        "covered": ["orders"],
        "missing": [{"name": "again", "reason": None}],
        "unknown": ["never"],
    }
    assert found["reads"]["covered"] == ["orders.items.id"]
