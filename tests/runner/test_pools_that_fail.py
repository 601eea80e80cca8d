"""`run_pipelines` where executors and their workers fail, and in which order it starts what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dlthub_project import current
from dlthub_project.runner import PipelineEvent, PipelineResult, many_pipelines
from dlthub_project.runner.pipeline_order import planned

WriteProject = Callable[..., Path]

THREE = """
    sources:
      a: {type: shop.orders}
    destinations:
      warehouse: {type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}
      first: {type: duckdb}
      second: {type: duckdb}
    pipelines:
      load_a: {source: a, destination: first, dataset_name: raw_a, after: []}
      load_b: {source: a, destination: second, dataset_name: raw_b, after: []}
      load_c: {source: a, destination: first, dataset_name: raw_c, after: load_a}
"""
LOST = "its worker died or could not be reached: "


class Pool(ThreadPoolExecutor):
    """Workers of this machine, of which a test says what becomes of each request, in turn."""

    def __init__(self, *outcomes: Any) -> None:
        super().__init__(1)
        self.outcomes = list(outcomes)
        self.asked: list[str] = []
        self.ends: list[str] = []

    def submit(self, fn: Any, /, request: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked.append(request.pipeline)
        outcome = self.outcomes.pop(0)
        if callable(outcome):
            outcome = outcome(request.pipeline)
        future: Future[Any] = Future()
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        return future

    def kill(self) -> None:
        self.ends.append("kill")

    def shutdown(self, *_: Any, **__: Any) -> None:
        self.ends.append("shutdown")
        super().shutdown()


def loaded(name: str) -> PipelineResult:
    return PipelineResult(name, "loaded", row_counts={"orders": 1})


def unable(name: str) -> Any:
    raise RuntimeError("cannot schedule new futures after shutdown")


@pytest.mark.parametrize(
    ("outcome", "status", "told"),
    [
        (unable, "failed", f"{LOST}cannot schedule new futures after shutdown"),
        (BrokenExecutor("a process was ended"), "failed", f"{LOST}a process was ended"),
        (ValueError("it cannot be pickled"), "failed", f"{LOST}it cannot be pickled"),
        (CancelledError(), "skipped", "the run was stopped before it started"),
    ],
)
def test_a_pipeline_whose_request_is_lost_has_not_loaded(
    write_project: WriteProject, outcome: Any, status: str, told: str
) -> None:
    write_project(THREE)
    pool = Pool(outcome, loaded)
    results = current.runner().run_pipelines(executor=pool)

    assert [one.status for one in results.values()] == [status, "loaded", "skipped"]
    error = results["load_a"].error
    assert error is not None
    assert error.message == told
    assert "load_a has not loaded" in str(results["load_c"].error)
    assert pool.asked == ["load_a", "load_b"]
    # it is the caller's
    assert pool.ends == []


def test_a_request_that_takes_its_worker_with_it_three_times_is_given_up(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(THREE)
    pools: list[Own] = []

    def dies(name: str) -> Any:
        # the other one was beside it, and is asked again alone, before it or after it
        is_again = pools[0].asked.count(name) > 1
        is_beside = name == "load_b" and is_again
        return loaded(name) if is_beside else BrokenExecutor("a process was ended")

    class Own(Pool):
        def __init__(self, workers: int, tell: object) -> None:
            super().__init__(*[dies] * 5)
            pools.append(self)

    monkeypatch.setattr(many_pipelines, "WorkerProcesses", Own)
    results = current.runner().run_pipelines(max_workers=2)

    assert {name: one.status for name, one in results.items()} == {
        "load_a": "failed",
        "load_b": "loaded",
        "load_c": "skipped",
    }
    assert pools[0].asked.count("load_a") == 3
    assert pools[0].ends == ["shutdown"]


def test_a_second_interrupt_ends_the_workers(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(THREE)
    pools: list[Own] = []

    def interrupted(name: str) -> Any:
        raise KeyboardInterrupt

    class Own(Pool):
        def __init__(self, workers: int, tell: object) -> None:
            super().__init__(interrupted)
            pools.append(self)

    monkeypatch.setattr(many_pipelines, "WorkerProcesses", Own)
    with pytest.raises(KeyboardInterrupt):
        current.runner().run_pipelines(max_workers=2)
    assert pools[0].ends == ["kill", "shutdown"]


def test_one_pipeline_makes_a_dataset_before_others_load_it(write_project: WriteProject) -> None:
    """Of a server that does not answer, the dataset counts as not there."""
    manifest = THREE.replace("destination: first", "destination: warehouse")
    manifest = manifest.replace("destination: second", "destination: warehouse")
    for name in "abc":
        manifest = manifest.replace(f"raw_{name}", "raw")
    write_project(manifest.replace("after: load_a", "after: []"))
    pool, told = Pool(loaded, loaded, loaded), []

    def hear(event: PipelineEvent) -> None:
        told.append((event.pipeline, event.step))

    current.runner().run_pipelines(executor=pool, hear=hear).raise_for_failures()

    started, done = "started", "done"
    assert told[:2] == [("load_a", started), ("load_a", done)]
    assert told[2:4] == [("load_b", started), ("load_c", started)]


BOTH = """
    sources:
      a: {entry}
      b: {{type: shop.orders}}
    destinations:
      prod: {{type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}}
      beside: {{type: postgres, credentials: "postgresql://u:p@db.invalid:5433/beside"}}
    pipelines:
      load_a: {{source: a, destination: beside, dataset_name: marts}}
      load_b: {{source: b, destination: prod, dataset_name: raw}}
"""
FIRST_B, AS_ASKED = ["load_b", "load_a"], ["load_a", "load_b"]


@pytest.mark.parametrize(
    ("entry", "order"),
    [
        # the place in parts, and as a URL; a server's usual port says nothing
        ("{type: x.y, credentials: {host: db.invalid, port: 5432, database: prod}}", FIRST_B),
        ("{type: x.y, credentials: {host: db.invalid, database: prod}}", FIRST_B),
        ("{type: x.y, credentials: {host: db.invalid, port: 5433, database: prod}}", AS_ASKED),
        ("{type: x.y, credentials: {host: db.invalid}}", AS_ASKED),
        ("{type: x.y, credentials: 'postgresql://other:q@db.invalid:5432/prod'}", FIRST_B),
        ("{type: x.y, credentials: 'sqlite:///:memory:'}", AS_ASKED),
        ("{type: x.y, credentials: 5}", AS_ASKED),
        # the dataset, however deep
        ("{type: x.y, tables: [{from: raw, only: 3}]}", FIRST_B),
        ("{type: x.y, tables: [{from: raw_2, only: 3}]}", AS_ASKED),
        # in code: of the function alone, and of what it uses
        ("{type: shop.by_constant}", FIRST_B),
        ("{type: shop.by_class}", FIRST_B),
        ("{type: shop.of_nothing}", AS_ASKED),
        ("{type: shop.missing}", AS_ASKED),
        # in a package; a file that cannot be read says nothing until it is run
        ("{type: mart}", FIRST_B),
        ("{type: broken.orders}", AS_ASKED),
        ("{type: nowhere.orders}", AS_ASKED),
    ],
)
def test_a_pipeline_waits_for_what_its_source_reads(
    write_project: WriteProject, entry: str, order: Sequence[str]
) -> None:
    shop = """
        RAW: str = "raw"

        class Reader:
            dataset = RAW

        def by_constant():
            return RAW

        def by_class():
            return Reader()

        async def of_nothing():
            return 1
    """
    files = {
        "sources/shop.py": shop,
        "sources/mart/__init__.py": "def mart():\n    return 'raw'\n",
        "sources/broken.py": "def orders(:\n    'raw'\n",
    }
    write_project(BOTH.format(entry=entry), files)
    entities = current.entities()

    assert [one.name for one in planned(entities, entities.list_pipelines())] == order
