"""`crashed` and the mark `dlt_crash`: a run is killed at each point, and started again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project.faults import KINDS, POINTS
from pytest_dlthub import DltRun, DltRuns

RunTests = Callable[..., pytest.RunResult]

TWICE = "orders: 3 rows twice after a kill between commit and mark (id=4, 5, 6)"


def orders(*ids: int) -> Any:
    """Return a resource that appends what is new, with a nested table."""

    @dlt.resource(name="orders", primary_key="id")
    def made(at: Any = dlt.sources.incremental("id", initial_value=0)) -> Iterator[Any]:
        yield [{"id": key, "lines": [{"sku": key * 10}]} for key in ids]

    return made


def text_of(run: DltRun, *arguments: Any, **named: Any) -> str:
    """Return what is said of a run that does not survive."""
    with pytest.raises(AssertionError) as caught:
        run.crashed(*arguments, **named)
    return str(caught.value)


def test_rows_that_dlt_loads_twice_are_told_and_ours_are_there_once(
    dlt_run: DltRun, dlt_runs: DltRuns
) -> None:
    first = dlt_run(orders(1, 2, 3))
    day_two = orders(1, 2, 3, 4, 5, 6)
    text = text_of(dlt_run, day_two, points="commit")

    assert text.splitlines()[0] == TWICE
    assert "orders__lines: 3 rows twice after a kill between commit and mark" in text
    assert 'test that with `runner="project"`' in text
    assert dlt_run.crashed(day_two, points="commit", runner="project").reached == ["commit"]
    # the test's own data are as they were, and nothing of it is left
    assert first.rows("orders", "id") == [(1,), (2,), (3,)]
    assert len(dlt_runs) == 1
    with suppress(ChildProcessError):
        # there may be others, that other tests use
        assert os.waitpid(-1, os.WNOHANG) == (0, 0)


@pytest.mark.slow
def test_a_package_that_dlt_drops_is_told(dlt_run: DltRun) -> None:
    text = text_of(dlt_run, orders(1, 2), again=[], points="normalize")

    assert text.splitlines()[0] == "orders: the table is missing after a kill in normalize"


@pytest.mark.slow
def test_rows_that_are_extracted_again_are_told_with_what_would_help(dlt_run: DltRun) -> None:
    rows = [{"id": 1}, {"id": 2}]
    text = text_of(dlt_run, rows, table_name="orders", points="after_jobs", runner="project")

    assert text.splitlines()[0] == "orders: 2 rows twice after a kill after the last job (id=1, 2)"
    assert "help: the run after the crash has extracted these rows again" in text


@pytest.mark.slow
def test_what_was_never_tested_is_no_green(dlt_run: DltRun) -> None:
    assert "never reached: merge_commit" in text_of(dlt_run, orders(1), points="merge_commit")
    assert "there are no rows" in text_of(dlt_run, orders())
    dlt_run(orders(1))
    assert "the run loads nothing" in text_of(dlt_run, orders(1))


@pytest.mark.slow
def test_two_whole_runs_that_differ_tell_nothing(dlt_run: DltRun) -> None:
    def made() -> Iterator[Any]:
        yield {"id": 1, "by": os.getpid()}

    data = dlt.resource(made, name="orders", primary_key="id", write_disposition="merge")
    with pytest.raises(pytest.UsageError, match=r"differ(.|\n)*orders id=1: by"):
        dlt_run.crashed(data, points="extract")
    assert dlt_run.crashed(data, points="extract", ignore=["orders.by"]).reached == ["extract"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "kil"}, "Did you mean `kill`"),
        ({"points": ["comit"]}, "Did you mean `commit`"),
        ({"points": []}, "name at least one"),
        ({"points": "between_jobs", "kind": "full_disk"}, "a full disk cannot happen"),
        ({"runner": "ours"}, "no runner `ours`"),
    ],
)
def test_a_mistake_in_the_arguments_is_an_error(
    dlt_run: DltRun, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dlt_run.crashed(orders(1), **arguments)


def test_recordings_are_refused(dlt_run: DltRun) -> None:
    with pytest.raises(TypeError, match="recordings"):
        dlt_run.crashed(orders(1), given="recorded")


@pytest.mark.dlt_crash(points=["extract", "commit"])
def test_a_marked_test_is_broken_and_then_runs_itself(dlt_runs: DltRuns) -> None:
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="shop_data")
    pipeline.run([{"id": 1}], table_name="replaced", write_disposition="replace")

    # of a run that was not interrupted: with dlt alone the next one may load what is pending
    assert dlt_runs.last.row_counts == {"replaced": 1}


def test_a_marked_test_that_passes_here_and_fails_in_a_fork_is_red(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import os

        import pytest

        PROCESS = os.getpid()

        @pytest.mark.dlt_crash(points="commit")
        def test_here(dlt_run):
            dlt_run([{"id": 1}], table_name="orders", write_disposition="replace")
            assert os.getpid() == PROCESS
        """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*dlt_crash: nothing was tested. In a fork of this process,*"])


def test_a_marked_test_that_skips_itself_is_skipped(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import pytest

        @pytest.mark.dlt_crash
        def test_later():
            pytest.importorskip("a_module_that_nobody_has")
        """
    )

    result.assert_outcomes(skipped=1)


@pytest.mark.slow
def test_marked_tests_that_cannot_be_broken_are_errors(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import unittest

        import dlt
        import pytest

        pytestmark = [pytest.mark.dlt_crash(points="commit")]

        def run(name="shop", **arguments):
            made = dlt.pipeline(name, destination="duckdb", **arguments)
            made.run([{"id": 1}], table_name="orders")

        def test_of_none():
            assert True

        def test_of_two():
            run()
            run("other")

        def test_of_dev_mode():
            run(dev_mode=True)

        def test_by_itself():
            assert run() == 1

        @pytest.mark.dlt_crash("commit")
        def test_by_position():
            run()

        def test_of_dlt():
            run()

        def test_of_later_loads():
            run()
            run()

        class TestOfUnittest(unittest.TestCase):
            def test_it(self):
                run()
        """,
        "--tb=short",
    )
    result.assert_outcomes(failed=8)
    result.stdout.fnmatch_lines_random(
        [
            "*dlt_crash: a marked test must run one pipeline, and this one runs none*",
            "*this one runs other, shop*",
            "*pipeline `shop` is in dev_mode*",
            "*assert None == 1",
            "*dlt_crash takes kind, points, ignore, by name*",
            "orders: 1 row 3 times after a kill between commit and mark (id=1)",
            "*use dlt_run.crashed(...)*",
            "*::test_of_dlt: shop: a kill at 1 point",
            "*::test_of_later_loads: *at 1 point, each in the first of 2 loads that reaches it",
        ]
    )


def test_what_lies_outside_of_the_sandbox_is_refused(dlt_run: DltRun, tmp_path: Path) -> None:
    here = dlt.destinations.duckdb(str(tmp_path / "shop.duckdb"))
    dlt_run(orders(1), destination=here)
    with pytest.raises(pytest.UsageError, match="they are not in the sandbox"):
        dlt_run.crashed(orders(2), destination=here)


def test_what_is_in_memory_is_refused(dlt_run: DltRun) -> None:
    bucket = dlt.destinations.filesystem("memory://bucket")
    with pytest.raises(pytest.UsageError, match="into memory"):
        dlt_run.crashed(orders(1), destination=bucket, points="commit")


# the matrices; they take seconds each
@pytest.mark.slow
def test_every_point_of_a_run_is_survived_by_ours(dlt_run: DltRun) -> None:
    dlt_run(orders(1, 2, 3))
    crashes = dlt_run.crashed(orders(1, 2, 3, 4, 5, 6), runner="project")

    assert crashes.unreached == ["merge_commit", "stored_trace"]
    assert crashes.reached == [p.name for p in POINTS if p.name not in crashes.unreached]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_survived_by_merge_and_replace(dlt_run: DltRun, kind: Any) -> None:
    @dlt.source
    def shop() -> Iterator[Any]:
        rows = [{"id": 1, "lines": [{"n": 1}, {"n": 2}]}, {"id": 2, "lines": []}]
        yield dlt.resource(rows, name="merged", primary_key="id", write_disposition="merge")
        yield dlt.resource(rows, name="replaced", write_disposition="replace")

    # a job that raises after its commit dlt tries again at once, see below
    raises = {"commit", "merge_commit"} if kind in ("exception", "disconnect") else set()
    possible = {p.name for p in POINTS if kind in p.kinds} - {"stored_trace"} - raises
    crashes = dlt_run.crashed(shop(), runner="project", kind=kind, points=sorted(possible))

    assert {*crashes.reached} == possible


@pytest.mark.slow
def test_a_lost_answer_is_dlts_own_to_try_again_without_a_policy(dlt_run: DltRun) -> None:
    text = text_of(dlt_run, orders(1), points="commit", kind="disconnect", runner="project")

    assert "orders: 1 row twice after a lost connection between commit and mark (id=1)" in text
    assert (
        "with a `retry_policy`, the runner of projects removes the rows of the first attempt"
        in text
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "20"])
def test_the_jobs_of_every_table_are_struck(
    dlt_run: DltRun, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    @dlt.source
    def shop() -> Iterator[Any]:
        for name in ("a", "b", "c"):
            yield dlt.resource([{"id": 1}], name=name)

    # with one worker, one job runs at a time
    monkeypatch.setenv("LOAD__WORKERS", workers)
    text = text_of(dlt_run, shop(), again=[], points="commit")

    for name in ("a", "b", "c"):
        assert f"{name}: 1 row twice after a kill between commit and mark (id=1)" in text


@pytest.mark.slow
def test_sqlite_has_rows_twice_with_dlt_alone(dlt_run: DltRun) -> None:
    def crashed(runner: Any) -> Any:
        place = dlt.destinations.sqlalchemy("sqlite:///shop.sqlite")
        return dlt_run.crashed(orders(1, 2), destination=place, points="commit", runner=runner)

    with pytest.raises(AssertionError, match=r"orders: 2 rows twice after .* \(id=1, 2\)"):
        crashed("dlt")
    assert crashed("project").reached == ["commit"]


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["dlt", "project"])
def test_a_file_that_is_written_twice_is_the_same_file(dlt_run: DltRun, runner: Any) -> None:
    crashes = dlt_run.crashed(orders(1, 2), destination="filesystem", runner=runner)

    # dlt enters the load once more, and tells by no row
    assert "commit" in crashes.reached


@pytest.mark.slow
def test_a_pipeline_that_the_test_has_made_goes_on_with_its_state(dlt_run: DltRun) -> None:
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="shop_data")
    dlt_run(orders(1, 2, 3), pipeline=pipeline)
    text = text_of(dlt_run, orders(1, 2, 3, 4, 5, 6), pipeline=pipeline, points="commit")

    assert text.splitlines()[0] == TWICE


@pytest.mark.slow
def test_a_first_run_whose_schema_was_not_saved_loses_nothing(dlt_run: DltRun) -> None:
    # dlt alone drops the package
    crashes = dlt_run.crashed(orders(1), again=[], points="extracted", runner="project")

    assert crashes.reached == ["extracted"]
