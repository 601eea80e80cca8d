"""A failed run in all the ways that a test meets it, and the section `dlt` of its report."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from dlt.common.exceptions import DltException
from dlt.pipeline.exceptions import PipelineHasPendingDataException, PipelineNeverRan

from pytest_dlthub import report_section, tracebacks

RunTests = Callable[..., pytest.RunResult]

CAUSE = "prices.price: job failed: cannot cast 123456789 to DECIMAL(5,2)"

SHOP = """
    import sys
    import threading
    import unittest
    from concurrent.futures import ThreadPoolExecutor

    import dlt
    import pytest

    PRICE = {"data_type": "decimal", "precision": 5, "scale": 2}

    @dlt.resource(columns={"price": PRICE})
    def prices(price=123456789):
        yield {"price": price}

    @dlt.resource
    def broken():
        raise ValueError("no such shop")
        yield

    def load():
        dlt.pipeline("night", destination="bigquery").run(prices())

    def main(status):
        try:
            load()
        except Exception as error:
            sys.exit(status.format(error))

    def wrapped():
        try:
            load()
        except Exception as error:
            raise RuntimeError("the night run failed") from error

    def quoted():
        try:
            load()
        except Exception as error:
            raise RuntimeError(f"night: {error}") from None
"""

WAYS = """
    def test_pool(dlt_run):
        with ThreadPoolExecutor() as pool:
            pool.submit(dlt_run, prices()).result()

    def test_exit(dlt_runs):
        main("1")

    def test_exit_with_text(dlt_runs):
        main("failed: {}")

    def test_wrapped(dlt_runs):
        wrapped()

    def test_quoted(dlt_runs):
        quoted()

    def test_text_alone(dlt_run):
        try:
            dlt_run(prices())
        except Exception as error:
            pytest.fail(str(error))

    def test_other_error(dlt_run):
        with pytest.raises(KeyError):
            dlt_run(prices())

    def test_other_text(dlt_run):
        with pytest.raises(Exception, match="another text"):
            dlt_run(prices())

    @pytest.mark.skipif("sys.version_info < (3, 11)")
    def test_group(dlt_run):
        errors = []
        for resource in (prices(), broken()):
            try:
                dlt_run(resource, pipeline_name=resource.name)
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("both", errors)

    def test_next(dlt_run):
        run = dlt_run(prices(1))
        run.next(data=prices())

    def test_runner(dlt_run):
        dlt_run(prices(), runner=True)

    def test_swallowed(dlt_run):
        try:
            dlt_run(prices())
        except Exception:
            print("never mind", file=sys.stderr)
        assert 0

    def test_not_raised(dlt_run, dlt_config):
        dlt_config["load.raise_on_failed_jobs"] = False
        dlt_run(prices())
        assert 0

    @pytest.fixture
    def loaded(dlt_run):
        return dlt_run(prices())

    def test_fixture(loaded):
        pass

    @pytest.mark.dlt_load(source=prices)
    def test_template(dlt_loaded):
        pass

    class TestUnit(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def _run(self, dlt_run):
            self.dlt_run = dlt_run

        def test_unit(self):
            self.dlt_run(prices())
"""

_HEADER = re.compile(r"_{3,} (?:ERROR at setup of )?(?:\w+\.)?(test_\w+) _{3,}")


def blocks(result: pytest.RunResult) -> dict[str, list[str]]:
    """Return what is printed of each failed test, without sources and empty lines."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in result.outlines:
        if header := _HEADER.fullmatch(line):
            current = found.setdefault(header[1], [])
        elif line.startswith("==="):
            current = []
        elif line.strip() and (not line.startswith(("    ", ">")) or line.startswith("    |")):
            current.append(line)
    return found


def test_a_failed_job_is_told_by_table_column_and_cause_wherever_it_is_met(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    result = run_tests(SHOP + WAYS, "--junitxml=report.xml")

    printed = blocks(result)
    # groups of exceptions came with Python 3.11
    assert len(printed) == len(re.findall(r"def test_", WAYS)) - (sys.version_info < (3, 11))
    lacking = [name for name, lines in printed.items() if not any(CAUSE in line for line in lines)]
    assert lacking == []
    # the destination's own words, twice where the user's code repeats them, and no log
    words = {n: sum("Conversion Error" in line for line in lines) for n, lines in printed.items()}
    assert {name: count for name, count in words.items() if count != 1} == {
        "test_exit_with_text": 2,
        "test_text_alone": 2,
        "test_swallowed": 0,
        "test_not_raised": 0,
    }
    # in CI the summary has the whole text once more
    explained = [line for line in result.outlines if line.startswith("E ")]
    assert [line for line in explained if "sql_client.py" in line and "match" not in line] == [
        line for line in explained if line.startswith("E         Actual message: ")
    ]
    # what is told where dlt's text is what the user compares
    assert any(
        line.startswith("E         Actual message: 'Pipeline")
        for line in printed["test_other_text"]
    )
    # the user's own output stays
    assert "never mind" in printed["test_swallowed"]
    # errors that the user's code adds are told, too
    assert {name: len(lines) for name, lines in printed.items() if len(lines) > 19} == {}
    suite = ET.parse(pytester.path / "report.xml")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    told = {n: [p.get("value") for p in case.iter("property")] for n, case in cases.items()}
    ran, failed = [re.sub(r"\d+\.\d\d s.*", "0.1 s", str(one)) for one in told["test_next"]]
    assert (ran, failed) == ("dlt_run: prices 1 in 0.1 s", "dlt_run: load failed after 0.1 s")
    assert CAUSE in str(told["test_next"][1])
    assert CAUSE in str(told["test_fixture"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PipelineNeverRan("shop", "/here"),
            "destination. Use `pipeline.sync_destination()` to get",
        ),
        (PipelineHasPendingDataException("shop", "/here"), "Use `pipeline.sync_destination()` to"),
        (DltException("Run `dlt pipeline shop info`."), "Run `pytest --pdb`."),
        (
            DltException("`dlt pipeline shop failed-jobs` and `dlt pipeline x trace`"),
            "`pytest --pdb`",
        ),
        (ValueError("Run `dlt pipeline shop info`."), "Run `dlt pipeline shop info`."),
    ],
    ids=["never ran", "pending", "info", "others", "of a user"],
)
def test_what_dlt_says_to_run_is_told_as_what_a_test_can_do(error: Exception, said: str) -> None:
    def fail() -> None:
        raise error

    before = str(error)
    call = pytest.CallInfo.from_call(fail, "call")

    with tracebacks.shortened(call, full=False):
        assert said in str(error)
    assert str(error) == before
    with tracebacks.shortened(call, full=True):
        assert str(error) == before


ONE = """
    def test_fails(dlt_run):
        dlt_run(prices())
"""


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--tb=short"], [f"E   *PipelineStepFailed: {CAUSE}", "*- dlt -*", "pipeline dlt_run: *"]),
        (["--tb=line"], [f"*test_it.py:*: {CAUSE}"]),
        (["--tb=no"], ["FAILED test_it.py::test_fails - prices.price: job failed:*"]),
        (["-q", "-l"], [f"E   *PipelineStepFailed: {CAUSE}", "dlt_run * = <*"]),
        (["--color=yes"], ["*- dlt -*", "\x1b?31mpipeline dlt_run: load failed after *\x1b?0m"]),
        (["--full-trace"], ["*`dlt pipeline dlt_run info`*", "*Captured log call*"]),
    ],
    ids=lambda one: one[0].strip("-") if isinstance(one[0], str) and one[0][0] == "-" else "",
)
def test_the_cause_is_told_in_every_style(
    run_tests: RunTests, options: list[str], lines: list[str]
) -> None:
    result = run_tests(SHOP + ONE, *options)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(lines)
    has_section = any("- dlt -" in line for line in result.outlines)
    assert has_section is (options[0] not in ("-q", "--tb=no"))
    assert ("Captured log call" in str(result.stdout)) is (options == ["--full-trace"])


def test_the_data_of_a_failed_test_are_opened_by_the_command_that_is_told(
    run_tests: RunTests, tmp_path: Path
) -> None:
    result = run_tests(
        """
        import pytest

        @pytest.mark.parametrize("name", ["it's"])
        def test_fails(dlt_run, name):
            dlt_run([{"id": 7}], table_name="orders", dataset_name="shop")
            assert 0

        def load(): ...

        @pytest.mark.dlt_load(
            source=[{"id": 8}], table_name="orders", dataset_name="shop", destination="bigquery"
        )
        def test_copy(dlt_dataset):
            assert 0
        """
    )

    # the file is that of the copy, and stands for a destination
    result.stdout.fnmatch_lines(["bigquery -> DuckDB *", "copy of pipeline dlt_run: orders 1"])
    result.stdout.no_fnmatch_line("dlt_dataset = *")
    told = [line.partition(": ")[2] for line in result.outlines if line.startswith("open the data")]
    assert len(told) == 2
    for command, value in zip(told, (7, 8), strict=True):
        words = shlex.split(command)
        # some machines have no `python`
        assert words[0] in ("python", "python3")
        assert words[1] == "-ic"
        done = subprocess.run(
            [sys.executable, *words[1:]],
            input="print(db.sql('SELECT id FROM shop.orders').fetchall())\n",
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"[({value},)]" in done.stdout


def test_the_program_of_duckdb_opens_the_data_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "duckdb"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert report_section.command_to_open(Path("/a b/x.duckdb")) == "duckdb '/a b/x.duckdb'"


def test_a_child_that_was_not_given_says_in_the_report_what_to_give(run_tests: RunTests) -> None:
    code = """
        import dlt
        import pytest

        @dlt.resource
        def posts():
            yield [{"id": 1}]

        @dlt.transformer(data_from=posts)
        def comments(page):
            for post in page:
                if not isinstance(post["id"], int):
                    raise ConnectionError("the API is gone")
                yield post

        @pytest.mark.parametrize("rows", [[{"id": 1}], [[{"id": "1"}]]])
        def test_comments(dlt_run, rows):
            dlt_run(comments, given={"posts": rows})
    """

    run_tests(code).stdout.fnmatch_lines(
        [
            "E * resource comments: TypeError: string indices must be integers*",
            'E *given: `comments` seems to read pages, * Give a page: "posts": [[][[]...]].',
            "E * resource comments: ConnectionError: the API is gone",
            'E *given: `comments` has no given rows, * leave it out: resources=[[]"posts"].',
        ]
    )
