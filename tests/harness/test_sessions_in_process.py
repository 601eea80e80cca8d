"""Sessions that run in the process of these tests start as in a new one, and leave no trace."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.extract.reference import SourceReference
from sessions import new_state, run_program_here

RunTests = Callable[..., pytest.RunResult]

CHANGES_ALL = """
    import logging
    import os
    import sys

    import dlt
    import helper

    @dlt.source
    def mine():
        return []

    def test_changes(tmp_path):
        os.environ["LEAKED"] = "yes"
        os.environ.pop("THERE_BEFORE")
        os.chdir(os.sep)
        sys.path.append("leaked")
        sys.modules["colorsys"] = None
        logging.getLogger("dlt").setLevel("ERROR")
        dlt.pipeline("left_active", pipelines_dir=str(tmp_path), destination="dummy")
"""


@pytest.fixture
def state() -> Callable[[], dict[str, object]]:
    """Return what a session might change."""

    def ask() -> dict[str, object]:
        logger = logging.getLogger("dlt")
        return {
            "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
            "working directory": os.getcwd(),
            "path": list(sys.path),
            "finders": list(sys.meta_path),
            "arguments": list(sys.argv),
            "modules of tests": {n for n in sys.modules if n in ("test_it", "conftest", "helper")},
            "this module": sys.modules.get(__name__),
            "a library": sys.modules.get("colorsys"),
            "active pipeline": Container()[PipelineContext].is_active(),
            "registered sources": set(SourceReference.SOURCES),
            "warnings": list(warnings.filters),
            "logger": (logger.level, list(logger.handlers), logger.propagate),
            "temporary folder": tempfile.tempdir,
            "writes bytecode": sys.dont_write_bytecode,
        }

    return ask


def test_process_is_as_before(
    pytester: pytest.Pytester,
    run_tests: RunTests,
    state: Callable[[], dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THERE_BEFORE", "yes")
    # nothing else imports it, and so nothing fails without it
    importlib.import_module("colorsys")
    pytester.makepyfile(helper="")
    before = state()

    run_tests(CHANGES_ALL).assert_outcomes(passed=1)

    assert state() == before


def test_next_session_finds_no_trace_of_the_one_before(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    code = """
        import os
        import dlt
        import helper

        def test_it(dlt_runs):
            assert "LEAKED" not in os.environ
            os.environ["LEAKED"] = "yes"
            assert helper.seen == []
            helper.seen.append(1)
            pipeline = dlt.pipeline("same", destination="bigquery")
            assert pipeline.first_run
            pipeline.run([{"id": 1}], table_name="rows")
    """
    pytester.makepyfile(helper="seen = []")

    outcomes = [run_tests(code).parseoutcomes() for _ in range(2)]

    assert outcomes == [{"passed": 1}] * 2


def test_file_that_is_written_again_at_once_is_read_again(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    seen = []
    for value in ("a", "b"):
        pytester.makepyfile(helper=f"VALUE = {value!r}")
        result = run_tests("import helper\ndef test_it(): print('value:', helper.VALUE)", "-s")
        seen += [line for line in result.outlines if "value:" in line]

    assert ["value: a" in seen[0], "value: b" in seen[1]] == [True, True]


def test_modules_of_the_tests_around_are_not_there_meanwhile(run_tests: RunTests) -> None:
    result = run_tests(
        f"""
        import sys

        def test_it():
            assert {__name__!r} not in sys.modules and "sessions" not in sys.modules
            assert not [entry for entry in sys.path if entry.endswith("tests/support")]
        """
    )

    result.assert_outcomes(passed=1)


def test_warnings_are_those_of_python_and_not_errors(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import warnings

        def test_it():
            warnings.warn("only told")
        """
    )

    result.assert_outcomes(passed=1, warnings=1)


def test_libraries_stay_imported(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import duckdb

        def test_it(dlt_run):
            assert dlt_run([{"id": 1}], table_name="rows").rows("rows") == [{"id": 1}]
            print("library", id(duckdb))
        """,
        "-s",
    )

    import duckdb

    result.stdout.fnmatch_lines([f"*library {id(duckdb)}*"])


def test_all_is_put_back_when_a_block_fails(
    tmp_path: Path, state: Callable[[], dict[str, object]]
) -> None:
    before = state()

    def block() -> None:
        with new_state(tmp_path, environment={"ONLY": "this"}):
            assert dict(os.environ) == {"ONLY": "this"}
            os.chdir(os.sep)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()

    assert state() == before


def test_programs_run_here_end_and_print_as_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): assert 0, 'on purpose'\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    code, printed = run_program_here(["pytest", "-q"], tmp_path, environment)

    assert (code, "on purpose" in printed) == (1, True)
