"""`dlt_faults`: single faults in the process of the test."""

from __future__ import annotations

from collections.abc import Callable

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.faults import Faults, InjectedFault
from dlthub_project.runner import runner
from pytest_dlthub import DltRun

RunTests = Callable[..., pytest.RunResult]

ROWS = [{"id": 1}, {"id": 2}]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", ["sync", "extract", "normalize", "load"])
def test_a_step_fails_as_often_as_is_asked(dlt_run: DltRun, dlt_faults: Faults, step: str) -> None:
    fault = dlt_faults.fail(step, times=2)  # type: ignore[arg-type]  # one of them
    for count in (1, 2):
        with pytest.raises(PipelineStepFailed, match="as this test asks") as caught:
            dlt_run(ROWS, table_name="orders")
        assert (caught.value.step, fault.happened) == (step, count)
    dlt_run(ROWS, table_name="orders")
    # with dlt alone, a run that finds a package loads that and nothing else
    assert dlt_run(ROWS, table_name="orders").rows("orders")[:2] == ROWS


def test_an_error_of_the_test_is_raised(dlt_run: DltRun, dlt_faults: Faults) -> None:
    dlt_faults.fail("extract", error=KeyError("page"))
    with pytest.raises(PipelineStepFailed) as caught:
        dlt_run([], table_name="orders")

    # an extract without rows fails, too
    assert isinstance(caught.value.exception, KeyError)


def test_an_answer_that_is_lost_doubles_rows_with_dlt_alone(
    dlt_run: DltRun, dlt_faults: Faults
) -> None:
    dlt_faults.lose("orders")
    assert dlt_run(ROWS, table_name="orders").rows("orders") == [*ROWS, *ROWS]
    dlt_faults.lose("others", after_commit=False)
    assert dlt_run(ROWS, table_name="others").rows("others") == ROWS


def test_our_runner_has_each_row_once_after_lost_connections_and_a_full_disk(
    dlt_isolated: object, dlt_faults: Faults
) -> None:
    lost = dlt_faults.lose("orders", times=2)
    dlt_faults.disconnect("sync")
    dlt_faults.disconnect("load")
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="shop_data")
    policy = {"type": "fixed", "max_attempts": 5}
    runner(pipeline, retry_policy=policy).run(ROWS, table_name="orders")
    dlt_faults.fill_disk("normalize")
    with pytest.raises(PipelineStepFailed, match="No space left"):
        runner(pipeline).run([{"id": 3}], table_name="orders")
    runner(pipeline).run([{"id": 4}], table_name="orders")

    found = pipeline.dataset()["orders"].select("id").fetchall()
    assert sorted(found) == [(1,), (2,), (3,), (4,)]
    assert lost.happened == 2


def test_faults_are_of_one_pipeline_if_it_is_named(dlt_run: DltRun, dlt_faults: Faults) -> None:
    fault = dlt_faults.fail("extract", pipeline="other")
    dlt_run(ROWS, table_name="orders")
    with pytest.raises(PipelineStepFailed):
        dlt_run(ROWS, table_name="orders", pipeline_name="other")
    assert fault.happened == 1


def test_mistakes_are_errors() -> None:
    faults = Faults()
    with pytest.raises(ValueError, match="Did you mean `load`"):
        faults.fail("lod")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="connects to nothing"):
        faults.disconnect("normalize")
    with pytest.raises(ValueError, match="times=0 is no fault"):
        faults.lose("orders", times=0)
    assert faults.problems() == []
    assert issubclass(InjectedFault, Exception)


def test_a_fault_that_does_not_happen_fails_the_test(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import pytest

        def test_typo(dlt_run, dlt_faults):
            dlt_faults.lose("ordres")
            dlt_run([{"id": 1}], table_name="orders")

        def test_less_often(dlt_run, dlt_faults):
            dlt_faults.fail("extract", times=2)
            with pytest.raises(Exception):
                dlt_run([{"id": 1}], table_name="orders")

        def test_no_run(dlt_faults):
            dlt_faults.disconnect("sync", times=None)

        def test_red_by_itself(dlt_faults):
            dlt_faults.fail("load")
            assert False
        """
    )
    result.assert_outcomes(passed=3, errors=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*dlt_faults.lose('ordres', after_commit=True) never happened. *mean `orders`?",
            "*dlt_faults.fail('extract') happened 1 of 2 times",
            "*dlt_faults.disconnect('sync') never happened",
        ]
    )
