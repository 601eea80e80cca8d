"""`run_pipelines`: many pipelines at once, each row once, whatever runs them."""

from __future__ import annotations

import importlib
import multiprocessing
import pickle
import re
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import python

from dlthub_project import EntityNotFound, ManifestError, ProjectError, current, switch_profile
from dlthub_project.runner import PipelinesInterrupted
from dlthub_project.runner.pipeline_order import planned
from dlthub_project.runner.pipeline_requests import PipelineRequest, run_request, this_process

WriteProject = Callable[..., Path]

NUMBERS = """
    import os
    import signal
    import time
    from pathlib import Path

    import dlt


    @dlt.source
    def numbers(first: int):
        @dlt.resource
        def rows():
            yield [{"id": first + i} for i in range(10)]

        return rows


    @dlt.source
    def bad(password: str = dlt.secrets.value):
        @dlt.resource
        def rows():
            raise ValueError(f"refused: {password}")
            yield

        return rows


    @dlt.source
    def deadly():
        @dlt.resource
        def rows():
            yield [{"id": i} for i in range(10)]
            while Path("c waits").exists():
                time.sleep(0.01)
            if not Path("died").exists():
                Path("died").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return rows


    @dlt.source
    def stopped():
        @dlt.resource
        def rows():
            yield [{"id": i} for i in range(10)]
            if not Path("stopped").exists():
                Path("stopped").touch()
                signal.raise_signal(signal.SIGINT)

        return rows
"""
FOUR = """
    sources:
      a: {type: shop.numbers, first: 0}
      b: {type: shop.numbers, first: 10}
      c: {type: shop.numbers, first: 20}
      d: {type: shop.numbers, first: 30}
    destinations:
      warehouse: {type: duckdb}
    pipelines:
      load_a: {source: a, destination: warehouse, dataset_name: raw}
      load_b: {source: b, destination: warehouse, dataset_name: raw}
      load_c: {source: c, destination: warehouse, dataset_name: raw}
      load_d: {source: d, destination: warehouse, dataset_name: raw}
"""
LOADED = ["loaded"] * 4


def loaded_ids(dataset: str = "raw") -> list[int]:
    """Return the ids in the table `rows` of a dataset."""
    rows = current.catalog().dataset(dataset)["rows"].select("id").fetchall()
    return sorted(row[0] for row in rows)


def order_of(manifest: str, write_project: WriteProject, code: str = NUMBERS) -> list[str]:
    """Return the order of all pipelines of a project."""
    write_project(manifest, {"sources/shop.py": code})
    entities = current.entities()
    return [one.name for one in planned(entities, entities.list_pipelines())]


@pytest.mark.slow
def test_four_threads_load_into_one_new_database(write_project: WriteProject) -> None:
    """Plain dlt: one of the four succeeds."""
    write_project(FOUR, {"sources/shop.py": NUMBERS})
    with ThreadPoolExecutor(4) as threads:
        results = current.runner().run_pipelines(executor=threads)

    assert [result.status for result in results.values()] == LOADED
    assert list(results) == ["load_a", "load_b", "load_c", "load_d"]
    assert loaded_ids() == list(range(40))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fork", "spawn", "loky"])
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_four_pipelines_in_processes_of_an_executor(kind: str, write_project: WriteProject) -> None:
    """A forked worker has the memory of its client, and makes a context of its own all the same."""
    write_project(FOUR, {"sources/shop.py": NUMBERS})
    runner = current.runner()
    # the client has been at the database itself
    runner.run_pipeline("load_a")
    assert loaded_ids() == list(range(10))
    if kind == "loky":
        executor: Executor = pytest.importorskip("loky").ProcessPoolExecutor(2)
    else:
        executor = ProcessPoolExecutor(2, multiprocessing.get_context(kind))
    with executor:
        results = runner.run_pipelines(["load_b", "load_c", "load_d"], executor=executor)

    assert [result.error for result in results.values()] == [None, None, None]
    assert loaded_ids() == list(range(40))


@pytest.mark.slow
def test_four_processes_load_into_one_new_database(write_project: WriteProject) -> None:
    """Plain dlt: two or three of the four succeed. Each call runs alone, and meets the others."""
    root = write_project(FOUR, {"sources/shop.py": NUMBERS})
    code = (
        "import sys; from dlthub_project import current; "
        "print(current.runner().run_pipelines([sys.argv[1]])[sys.argv[1]].status)"
    )
    calls = [
        subprocess.Popen(
            [*python(), "-c", code, f"load_{name}"], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for name in "abcd"
    ]

    assert [call.communicate()[0].strip() for call in calls] == LOADED
    assert loaded_ids() == list(range(40))


def test_two_runs_of_one_pipeline_at_once_are_one_after_the_other(
    write_project: WriteProject,
) -> None:
    """Plain dlt: none or one of them succeeds, since they share a working folder."""
    write_project(FOUR, {"sources/shop.py": NUMBERS})
    runner = current.runner()
    with ThreadPoolExecutor(2) as workers, ThreadPoolExecutor(2) as both:
        calls = [both.submit(runner.run_pipelines, "load_a", executor=workers) for _ in range(2)]

    results = [call.result()["load_a"] for call in calls]
    assert [result.error for result in results] == [None, None]
    assert loaded_ids() == sorted([*range(10), *range(10)])


@pytest.mark.parametrize("other", ["done", pytest.param("under way", marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_takes_nothing_with_it(
    write_project: WriteProject, other: str
) -> None:
    manifest = FOUR.replace("shop.numbers, first: 30", "shop.deadly").replace(
        "source: c, destination: warehouse, dataset_name: raw",
        "source: c, destination: beside, dataset_name: raw_c",
    )
    manifest = manifest.replace("destinations:", "destinations:\n      beside: {type: duckdb}")
    root = write_project(manifest, {"sources/shop.py": NUMBERS})
    steps: list[tuple[str, str]] = []
    waits = root / "c waits"
    if other == "done":
        waits.touch()

    def hear(event: Any) -> None:
        steps.append((event.pipeline, event.step))
        if steps[-1] == ("load_c", "done"):
            waits.unlink(missing_ok=True)

    results = current.runner().run_pipelines(["load_c", "load_d"], max_workers=2, hear=hear)

    assert [result.error for result in results.values()] == [None, None]
    assert (root / "died").exists()
    assert loaded_ids("raw_c") == list(range(20, 30))
    assert loaded_ids() == list(range(10))
    assert ("load_d", "extract") in steps
    assert ("load_d", "done") in steps
    # it travelled, also where the pool ends its worker between load and trace
    assert "1 load package(s) were loaded" in str(results["load_c"].load_info)
    assert [result.row_counts for result in results.values()] == [{"rows": 10}] * 2


def test_a_pipeline_runs_after_those_that_it_waits_for(write_project: WriteProject) -> None:
    manifest = FOUR.replace("a, destination", "a, after: [load_c, load_d], destination")

    assert order_of(manifest, write_project) == ["load_b", "load_c", "load_d", "load_a"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "entry",
    [
        "{type: shop.numbers, first: 0, dataset: raw_b}",
        "{type: sql_database, credentials: 'duckdb:///{data_dir}/b.duckdb'}",
        "{type: shop.marts}",
        "{type: shop.by_constant}",
        "{type: shop.by_helper}",
    ],
)
def test_a_pipeline_runs_after_what_its_source_reads(
    entry: str, write_project: WriteProject
) -> None:
    code = """
        import dlt
        from dlthub_project import current

        RAW = "raw_b"

        @dlt.source
        def numbers(first: int, dataset: str = ""):
            return dlt.resource([{"id": 1}], name="rows")

        @dlt.source
        def marts():
            return dlt.resource(current.catalog().raw_b["rows"].fetchall, name="totals")

        @dlt.source
        def by_constant():
            return dlt.resource(current.catalog()[RAW]["rows"].fetchall, name="totals")

        def helper():
            return current.catalog()["raw_b"]

        @dlt.source
        def by_helper():
            return dlt.resource(helper, name="totals")
    """
    manifest = f"""
        sources:
          a: {entry}
          b: {{type: shop.numbers, first: 10}}
        destinations:
          warehouse: {{type: duckdb}}
          beside: {{type: duckdb, credentials: "{{data_dir}}/b.duckdb"}}
        pipelines:
          load_a: {{source: a, destination: warehouse, dataset_name: raw_a}}
          load_b: {{source: b, destination: beside, dataset_name: raw_b}}
    """

    assert order_of(manifest, write_project, code) == ["load_b", "load_a"]


def test_error_when_pipelines_wait_for_each_other(write_project: WriteProject) -> None:
    manifest = FOUR.replace("source: a,", "source: a, after: load_b,").replace(
        "source: b,", "source: b, after: [load_c, load_a],"
    )
    with pytest.raises(ProjectError) as caught:
        order_of(manifest, write_project)

    assert caught.value.reason.splitlines()[1:] == [
        "  load_a waits for load_b: it is declared (`after`)",
        "  load_b waits for load_a: it is declared (`after`)",
    ]


@pytest.mark.parametrize("after", ["", ", after: []"])
def test_after_nothing_says_that_words_are_no_datasets(
    after: str, write_project: WriteProject
) -> None:
    code = """
        import dlt

        @dlt.source
        def shop():
            return [dlt.resource([{"id": 1}], name=name) for name in ("orders", "refunds")]
    """
    manifest = f"""
        sources:
          shop: {{type: shop.shop}}
        destinations:
          warehouse: {{type: duckdb}}
        pipelines:
          load_a: {{source: shop, destination: warehouse, dataset_name: orders{after}}}
          load_b: {{source: shop, destination: warehouse, dataset_name: refunds}}
    """
    if after:
        assert order_of(manifest, write_project, code) == ["load_a", "load_b"]
        return
    with pytest.raises(ProjectError) as caught:
        order_of(manifest, write_project, code)
    found = "load_a waits for load_b: the code of source `shop` names its dataset `refunds`"
    assert found in caught.value.reason
    assert "`after: []` says that its pipeline waits for none" in str(caught.value)


@pytest.mark.parametrize(
    ("after", "told"),
    [("load_x", "`load_x` is no pipeline. Known: load_a"), ("load_a", "names the pipeline itself")],
)
def test_error_when_after_names_no_other_pipeline(
    after: str, told: str, write_project: WriteProject
) -> None:
    write_project(FOUR.replace("a, destination", f"a, after: [{after}], destination"))
    with pytest.raises(ManifestError) as caught:
        current.entities()

    assert "dlt.yml:10:" in str(caught.value)
    assert told in str(caught.value)


def test_error_when_a_pipeline_is_named_twice_or_unknown(write_project: WriteProject) -> None:
    write_project(FOUR)
    with pytest.raises(ProjectError, match="`load_a` is named twice in one call"):
        current.runner().run_pipelines(["load_a", "load_b", "load_a"])
    with pytest.raises(EntityNotFound, match="Did you mean `load_a`"):
        current.runner().run_pipelines(["load_aa"])
    with pytest.raises(ValueError, match="max_workers: at least 1"):
        current.runner().run_pipelines(max_workers=0)


WITH_BAD = """
    sources:
      a: {type: shop.numbers, first: 0}
      bad: {type: shop.bad, password: "sesame-open-wide"}
    destinations:
      warehouse: {type: duckdb}
    pipelines:
      load_bad: {source: bad, destination: warehouse, dataset_name: of_bad}
      load_a: {source: a, destination: warehouse, dataset_name: raw}
      load_after: {source: a, destination: warehouse, dataset_name: later, after: load_bad}
"""


def test_a_failure_is_data_without_secrets_and_stops_what_needs_it(
    write_project: WriteProject,
) -> None:
    write_project(WITH_BAD, {"sources/shop.py": NUMBERS})
    results = current.runner().run_pipelines(max_workers=1)
    again = pickle.loads(pickle.dumps(results["load_bad"]))

    assert [result.status for result in results.values()] == ["failed", "loaded", "skipped"]
    assert str(again.error) == "step extract: ValueError: refused: ***"
    assert "in rows\n" in again.error.traceback
    assert "sesame" not in repr(results) + again.error.traceback + str(again.error.causes)
    assert str(results["load_after"].error) == ("load_bad has not loaded; it is declared (`after`)")
    assert results["load_a"].rows == 10
    with pytest.raises(ProjectError, match="2 of 3 pipelines have not loaded"):
        results.raise_for_failures()


@pytest.mark.parametrize("kind", ["this process", "threads"])
def test_a_source_that_exits_is_a_failure_and_ends_nothing_else(
    kind: str, write_project: WriteProject
) -> None:
    exits = NUMBERS.replace('raise ValueError(f"refused: {password}")', 'raise SystemExit("bye")')
    write_project(WITH_BAD, {"sources/shop.py": exits})
    runner = current.runner()
    if kind == "threads":
        with ThreadPoolExecutor(2) as threads:
            results = runner.run_pipelines(executor=threads)
    else:
        results = runner.run_pipelines(max_workers=1)

    assert [result.status for result in results.values()] == ["failed", "loaded", "skipped"]
    assert str(results["load_bad"].error) == "SystemExit: bye"


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(write_project: WriteProject) -> None:
    script = """
        from pathlib import Path

        from dlthub_project import current

        with Path("runs").open("a") as file:
            file.write("once")
        results = current.runner().run_pipelines(["load_a", "load_b"], max_workers=2)
        print([result.error for result in results.values()])
    """
    root = write_project(FOUR, {"sources/shop.py": NUMBERS, "nightly.py": script})
    done = subprocess.run(
        [*python(), "nightly.py"], cwd=root, capture_output=True, text=True, check=False
    )

    assert done.stdout == "[None, None]\n", done.stderr
    assert (root / "runs").read_text() == "once"
    assert loaded_ids() == list(range(20))


def test_nothing_else_starts_after_a_failure(write_project: WriteProject) -> None:
    write_project(WITH_BAD, {"sources/shop.py": NUMBERS})
    results = current.runner().run_pipelines(max_workers=1, fail_fast=True)

    assert [result.status for result in results.values()] == ["failed", "skipped", "skipped"]
    assert "load_bad has failed (fail_fast)" in str(results["load_a"].error)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["this process", "threads"])
def test_after_an_interrupt_the_next_run_goes_on(kind: str, write_project: WriteProject) -> None:
    write_project(
        FOUR.replace("shop.numbers, first: 0}", "shop.stopped}"), {"sources/shop.py": NUMBERS}
    )
    runner = current.runner()
    with ThreadPoolExecutor(1) as threads, pytest.raises(PipelinesInterrupted) as caught:
        runner.run_pipelines(executor=threads if kind == "threads" else None, max_workers=1)

    states = [result.status for result in caught.value.results.values()]
    # a thread has no signal handler of its own, and may be done before the main one looks
    assert states[0] == "interrupted" or (kind == "threads" and states[0] == "loaded")
    assert states[2:] == ["skipped", "skipped"]

    runner.run_pipelines(
        [name for name, one in caught.value.results.items() if not one.is_ok], max_workers=1
    ).raise_for_failures()
    # what a thread had extracted is loaded, and extracted again
    assert set(loaded_ids()) == {*range(40)}


def test_another_profile_is_refused_while_pipelines_run(write_project: WriteProject) -> None:
    code = NUMBERS.replace('yield [{"id": first + i}', 'WAIT(); yield [{"id": first + i}')
    write_project(FOUR + "    profiles: {prod: {}}\n", {"sources/shop.py": code})
    runs, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        runs.set()
        may_end.wait(60)

    current.context()
    importlib.import_module("sources.shop").WAIT = wait  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as caller, ThreadPoolExecutor(1) as worker:
        call = caller.submit(current.runner().run_pipelines, "load_a", executor=worker)
        runs.wait(60)
        with pytest.raises(ProjectError, match="in use by 1 running pipelines"):
            switch_profile("prod")
        may_end.set()
        assert call.result()["load_a"].is_ok
    assert switch_profile("prod").profile == "prod"


class Elsewhere(Executor):
    """An executor of which nobody knows where its workers are."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise AssertionError("nothing is to start")


def test_error_when_workers_may_not_see_the_database(write_project: WriteProject) -> None:
    root = write_project(FOUR)
    with pytest.raises(ProjectError) as caught:
        current.runner().run_pipelines(executor=Elsewhere())

    assert f"`load_a` writes to {root}" in caught.value.reason
    assert "workers of Elsewhere may be on other machines" in caught.value.reason
    assert "a database server, a bucket" in caught.value.instruction


def request_for(pipeline: str) -> PipelineRequest:
    project = current.project()
    return PipelineRequest(
        id="one",
        pipeline=pipeline,
        folder=project.root_dir,
        package=None,
        profile=project.current_profile,
        turn=None,
        arguments={},
        client=this_process(),
    )


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", ["extract", "normalize", "load"])
def test_a_request_that_comes_again_finishes_what_was_begun(
    step: str, write_project: WriteProject
) -> None:
    root = write_project(FOUR, {"sources/shop.py": NUMBERS})
    request = request_for("load_a")
    (root / "request").write_bytes(pickle.dumps(request))
    code = """
import os, pickle
from pathlib import Path
from dlthub_project.runner.pipeline_requests import run_request
tell = lambda pipeline, step: os._exit(9) if step == "STEP" else None
run_request(pickle.loads(Path("request").read_bytes()), tell)
""".replace("STEP", step)
    died = subprocess.run([*python(), "-c", code], cwd=root, check=False)
    assert died.returncode == 9

    again = run_request(request)
    assert (again.status, again.is_resumed, again.error) == ("loaded", True, None)
    assert again.load_info is not None
    assert loaded_ids() == list(range(10))

    # the answer was lost on its way; this one comes from the file, and travels once more
    answer = pickle.loads(pickle.dumps(run_request(request)))
    assert answer.is_resumed
    assert answer.load_info.loads_ids == again.load_info.loads_ids
    [schema] = {package.schema for package in answer.load_info.load_packages}
    assert schema.naming.normalize_identifier("New Id") == "new_id"
    assert schema.version_hash == current.catalog().dataset("raw").schema.version_hash
    assert loaded_ids() == list(range(10))


BEGUN = """
    sources:
      a: {type: shop.numbers, first: 0}
      b: {type: shop.letters}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      raw: {destination: warehouse, tables: {rows: {checks: [{is_unique: id}]}}}
    pipelines:
      load:
        source: [a, b]
        destination: warehouse
        dataset_name: raw
        run_config: {on_failed_check: fail}
"""
LETTERS = """
    @dlt.source
    def letters():
        return dlt.resource([{"letter": letter} for letter in "abc"], name="letters")
"""
DIES = """
import os, pickle, signal, sys
from pathlib import Path
from dlthub_project.dlt_internals.fault_points import listening
from dlthub_project.faults import Strike, chosen_points
from dlthub_project.runner.pipeline_requests import run_request

class Second(Strike):
    passed = False

    def reached(self, place):
        if self.passed or place.name != self._point.place:
            super().reached(place)
        self.passed = self.passed or place.name == self._point.place

[point] = chosen_points(sys.argv[1], "kill")
strike = Second if sys.argv[2:] else Strike
with listening(strike(point, "kill", "load", lambda _: None)):
    run_request(pickle.loads(Path("request").read_bytes()))
"""


class Heard:
    """An observer of the runs that have ended."""

    def __init__(self) -> None:
        self.loaded: list[list[str]] = []

    def on_after(self, pipeline: object, load_info: Any) -> None:
        self.loaded.append(load_info.loads_ids)


@pytest.mark.parametrize(
    "point",
    [
        "trace",
        pytest.param("before_job", marks=pytest.mark.slow),
        # of the second package of two
        pytest.param("entered second", marks=pytest.mark.slow),
        pytest.param("normalize", marks=pytest.mark.slow),
        # nobody has noted the rows of the first package
        pytest.param("normalized", marks=pytest.mark.slow),
    ],
)
def test_what_a_dead_worker_has_loaded_is_told_by_the_next(
    write_project: WriteProject, point: str
) -> None:
    """dlt keeps what it returned only in a trace, which a killed worker has not stored.

    The trace of the day before is there, and is not told in its place.
    """
    root = write_project(BEGUN, {"sources/shop.py": NUMBERS + LETTERS})
    run_request(replace(request_for("load"), id="of the day before"))
    day_before = {*current.entities().get_pipeline("load").list_completed_load_packages()}
    request = request_for("load")
    (root / "request").write_bytes(pickle.dumps(request))
    died = subprocess.run([*python(), "-c", DIES, *point.split()], cwd=root, check=False)
    assert died.returncode == -9

    # a worker on its way, and what a client gets of it
    heard = Heard()
    result = run_request(replace(request, arguments={"observers": [heard]}))
    result = pickle.loads(pickle.dumps(result))

    packages = {*current.entities().get_pipeline("load").list_completed_load_packages()}
    assert loaded_ids() == sorted([*range(10), *range(10)])
    assert result.is_resumed
    is_known = point != "normalized"
    assert result.row_counts == ({"rows": 10, "letters": 3} if is_known else None)
    assert result.rows == (13 if is_known else None)
    assert {*result.load_info.loads_ids} == packages - day_before
    assert len(result.load_info.loads_ids) == 2
    assert heard.loaded == [result.load_info.loads_ids]
    assert [package.state for package in result.load_info.load_packages] == ["loaded"] * 2
    # as dlt 1.29 says it, and as newer ones do
    assert re.search("(completed|finished) in", str(result.load_info))
    assert "2 load package(s) were loaded" in str(result.load_info)
    # the rows are looked at, too
    assert (result.status, result.has_loaded) == ("failed", True)
    assert [str(check) for check in result.checks] == ["rows: id__is_unique: 20 of 20 rows fail"]


def test_rows_that_nobody_counts_are_not_told_as_none(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(FOUR, {"sources/shop.py": NUMBERS})
    monkeypatch.setenv("ENABLE_RUNTIME_TRACE", "false")
    result = current.runner().run_pipelines("load_a")["load_a"]

    assert (result.status, result.row_counts, result.rows) == ("loaded", None, None)
    assert loaded_ids() == list(range(10))


def test_a_request_is_small_and_holds_no_secret(write_project: WriteProject) -> None:
    write_project(WITH_BAD, {"sources/shop.py": NUMBERS})
    text = pickle.dumps(request_for("load_bad"))

    assert b"sesame" not in text
    assert len(text) < 1000


@pytest.mark.postgres
def test_one_pipeline_alone_makes_a_dataset_that_several_load(
    write_project: WriteProject, postgres_url: str
) -> None:
    dataset = f"many_{id(write_project)}"
    manifest = FOUR.replace("{type: duckdb}", f"{{type: postgres, credentials: '{postgres_url}'}}")
    write_project(manifest.replace(": raw}", f": {dataset}}}"), {"sources/shop.py": NUMBERS})
    with ThreadPoolExecutor(4) as threads:
        results = current.runner().run_pipelines(executor=threads)

    results.raise_for_failures()
    assert loaded_ids(dataset) == list(range(40))
    with current.entities().get_pipeline("load_a").sql_client() as client:
        client.drop_dataset()
