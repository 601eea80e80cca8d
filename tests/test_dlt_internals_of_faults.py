"""Contracts with dlt: the places of a run at which it can be broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dlt
import pytest

from dlthub_project.dlt_internals import pipelines
from dlthub_project.dlt_internals.fault_points import (
    Place,
    Startable,
    listening,
    pipeline_of,
    unreachable,
)


class Seen:
    """Notes places and jobs, and lets one job start at a time."""

    awaits_sync = False

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.started: list[str] = []

    def reached(self, place: Place) -> None:
        self.places.append(place)

    def chosen(self, jobs: Startable) -> Sequence[str] | None:
        files = [] if jobs.started else sorted(jobs.new)[:1]
        self.started += files
        return files

    def of_jobs(self, table: str) -> list[str]:
        return [p.name for p in self.places if p.table == table and not p.is_followup]


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    return dlt.pipeline("broken", pipelines_dir="pipelines", destination="duckdb")


@pytest.mark.leans_on(
    "dlt.pipeline.pipeline:Pipeline._restore_state_from_destination",
    "dlt.extract.extractors:Extractor.write_items",
    "dlt.extract.extract:Extract.commit_packages",
    "dlt.normalize.normalize:Normalize.run",
    "dlt.common.storages.load_storage:LoadStorage.commit_new_load_package",
    "dlt.load.load:Load.load_single_package",
    "dlt.load.load:Load.start_new_jobs",
    "dlt.common.destination.client:RunnableLoadJob.run_managed",
    "dlt.common.storages.load_package:PackageStorage.save_pending_transition",
    "dlt.common.storages.load_package:PackageStorage.complete_job",
    "dlt.load.load:Load.complete_package",
    "dlt.common.storages.load_storage:LoadStorage.complete_load_package",
    "dlt.pipeline.trace:save_trace",
)
def test_a_run_tells_each_place_in_order(pipeline: dlt.Pipeline) -> None:
    seen = Seen()
    rows = [{"id": 1}, {"id": 2}]
    with listening(seen):
        pipeline.run(rows, table_name="orders", primary_key="id", write_disposition="merge")
    names = list(dict.fromkeys(place.name for place in seen.places))

    assert names == [
        "sync",
        "item written",
        "before package",
        "after package",
        "before normalize",
        "before normalized package",
        "after normalized package",
        "before load",
        "before job",
        "job committed",
        "job is to be marked",
        "job completed",
        "before entry",
        "after entry",
        "before trace",
    ]
    assert {place.pipeline for place in seen.places} == {"broken"}
    of_job = ["before job", "job committed", "job is to be marked", "job completed"]
    assert seen.of_jobs("orders") == of_job
    assert [place.name for place in seen.places if place.is_followup] == of_job
    assert [file.partition(".")[0] for file in seen.started] == [
        "_dlt_pipeline_state",
        "orders",
        "orders",
    ]
    assert [row[0] for row in pipeline.dataset()["orders"].select("id").fetchall()] == [1, 2]
    assert len(seen.places) == len(set(map(id, seen.places)))
    # nobody listens now
    pipeline.run([{"id": 3}], table_name="orders")
    assert names[-1] == seen.places[-1].name


@pytest.mark.leans_on("dlt.load.load:Load.start_new_jobs")
def test_the_state_is_next_when_all_else_is_done(pipeline: dlt.Pipeline) -> None:
    class DataFirst(Seen):
        def chosen(self, jobs: Startable) -> Sequence[str] | None:
            others = [file for file, table in jobs.new.items() if table != jobs.state_table]
            return others if others or jobs.started else None

    seen = DataFirst()
    with listening(seen):
        pipeline.run([{"id": 1}], table_name="orders")
    names = [(p.name, p.table) for p in seen.places if p.table]

    assert names.index(("job completed", "orders")) < names.index(
        ("state is next", "_dlt_pipeline_state")
    )


@pytest.mark.leans_on("dlt.common.destination.client:RunnableLoadJob.run_managed")
def test_what_is_raised_at_a_job_is_a_fault_of_the_job(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Seen):
        def reached(self, place: Place) -> None:
            super().reached(place)
            if place.name == "job committed" and self.of_jobs("orders").count(place.name) == 1:
                raise unreachable("duckdb", "orders", "the answer is lost")

        def chosen(self, jobs: Startable) -> Sequence[str] | None:
            return None

    broken = Broken()
    with listening(broken):
        pipeline.run([{"id": 1}], table_name="orders")

    # dlt takes it for what may pass, and runs the job once more: it is the same job
    assert len({place.job for place in broken.places if place.table == "orders"}) == 1
    assert broken.of_jobs("orders").count("job committed") == 2
    assert len(pipeline.dataset()["orders"].fetchall()) == 2


@pytest.mark.leans_on("dlt.pipeline.pipeline:Pipeline._init_working_dir")
def test_the_name_of_a_pipeline_is_found_in_its_paths() -> None:
    assert pipeline_of("/p/shop/load/normalized/1/started_jobs/orders.x") == "shop"
    assert pipeline_of("/p/load/normalize/abc") == "load"
    assert pipeline_of("/elsewhere") == ""


@pytest.mark.leans_on("dlt.pipeline.state_sync:load_pipeline_state_from_destination")
def test_the_stored_state_is_that_of_the_destination(pipeline: dlt.Pipeline) -> None:
    @dlt.resource
    def orders(at: Any = dlt.sources.incremental("id")) -> Iterator[Any]:
        yield {"id": 5}

    pipeline.run(orders)
    stored = pipelines.stored_state(pipeline)["sources"]

    assert stored == pipeline.state["sources"]
    assert stored["broken"]["resources"]["orders"]["incremental"]["id"]["last_value"] == 5


@pytest.mark.leans_on("dlt.pipeline.pipeline:Pipeline._inject_schema")
def test_an_adopted_schema_is_the_default_of_a_pipeline_without_any(
    pipeline: dlt.Pipeline,
) -> None:
    pipelines.adopt_schema(pipeline, dlt.Schema("shop"))

    assert pipeline.default_schema_name == "shop"
    assert dlt.attach("broken", pipelines_dir="pipelines").default_schema_name == "shop"
