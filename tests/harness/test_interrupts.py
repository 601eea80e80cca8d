"""Ctrl-C while a pipeline runs ends the session, at whatever point of the run it comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]

# the end of a load is where dlt itself would forget that there was a signal
CODE = """
import signal

import dlt
import pytest
from dlt.load.load import Load

made_at_import = dlt.pipeline("made_at_import", destination="duckdb")


@pytest.fixture
def interrupted_load(monkeypatch):
    complete = Load.complete_package

    def interrupted(*arguments, **keywords):
        complete(*arguments, **keywords)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Load, "complete_package", interrupted)


@pytest.fixture
def loaded(interrupted_load, dlt_run):
    return dlt_run([{"a": 1}], table_name="t")


def test_in_a_run(interrupted_load, dlt_run):
    dlt_run([{"a": 1}], table_name="t")


def test_of_a_module(interrupted_load, dlt_isolated):
    made_at_import.run([{"a": 1}], table_name="t")


def test_in_a_fixture(loaded):
    pass


def test_z_is_not_run():
    pass
"""


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "where", ["in_a_run", "of_a_module", pytest.param("in_a_fixture", marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_the_session(
    run_tests_apart: RunTests, kept_data: Callable[[], list[Path]], where: str
) -> None:
    result = run_tests_apart(CODE, "-k", f"{where} or not_run")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not {"passed", "failed", "errors"} & result.parseoutcomes().keys()
    assert kept_data() == []


def test_code_without_a_sandbox_may_make_failures_of_interrupts(run_tests: RunTests) -> None:
    result = run_tests(
        """
        def test_fails():
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as error:
                raise ValueError("stopped") from error

        def test_is_run():
            pass
        """
    )

    result.assert_outcomes(passed=1, failed=1)
