from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import dlt
import pytest
from syrupy.assertion import SnapshotAssertion

import report
from dlthub_project.data_quality import checks
from pytest_dlthub import (
    ChecksFailed,
    Crashes,
    DltItems,
    DltProject,
    DltRun,
    DltRuns,
    Faults,
    PipelineRun,
    ProjectTransformation,
    RemoteDestinationBlocked,
    Rows,
    TransformationRun,
    assert_checks,
    assert_columns,
    assert_foreign_key,
    assert_idempotent,
    assert_incremental,
    assert_no_failed_jobs,
    assert_not_null,
    assert_rows,
    assert_unique,
    raises_check,
    raises_contract_violation,
    table_rows,
)


@pytest.fixture(scope="session")
def dlt_destinations() -> Mapping[str, Any]:
    return {"archive": "filesystem"}


def test_the_project_is_the_one_that_is_declared(dlt_project: DltProject) -> None:
    name, default, profiles = report.place()

    assert name == "typed"
    assert default == "dev"
    assert "prod" in profiles
    assert report.declared()["pipelines"] == ["load_orders"]


def test_profiles_differ(dlt_project: DltProject) -> None:
    assert (report.rows_of("tests"), report.rows_of("prod")) == (2, 3)
    assert "2" in report.use("tests")
    with dlt_project.profile("prod") as context:
        assert context.project.sources["orders"]["rows"] == 3
    dlt_project.check("prod")


def test_a_run_is_loaded_saved_and_read(dlt_project: DltProject) -> None:
    report.load()

    assert report.save_cheap() == [(1, 10)]
    assert report.read() == 2
    cheap: Rows = table_rows(dlt_project.dataset("shop_data").table("cheap"))
    assert cheap == [{"id": 1, "price": 10}]


def test_a_mistake_says_what_to_do(dlt_project: DltProject) -> None:
    assert "Did you mean `load_orders`?" in report.mistake("load_order")


def test_a_package_has_the_same(dlt_project: DltProject) -> None:
    assert "access" in report.of_package()


def test_runs_of_the_project(dlt_project: DltProject, dlt_runs: DltRuns) -> None:
    given: dict[str, Any] = {"items": [{"id": 7, "price": 1}]}
    first: PipelineRun = dlt_project.run("load_orders", given=given)
    second: PipelineRun = first.next(given={"items": [{"id": 8, "price": 1}]})

    counts: dict[str, int] = second.row_counts
    assert counts == {"items": 1}
    assert [row["id"] for row in second.rows("items")] == [7, 8]
    assert (first.tables, second.schema_changes) == (["items"], {})
    assert dlt_runs.last.load_info is not None
    assert len(dlt_runs.of("load_orders")) == 2
    assert dlt_runs[0].database_path == second.database_path
    assert second.trace is not None
    assert second.schema.name == "orders"
    assert not second.sent


def test_any_data(dlt_run: DltRun, dlt_config: MutableMapping[str, Any]) -> None:
    dlt_config["sources.orders.rows"] = 4
    run: PipelineRun = dlt_run([{"id": 1}], table_name="items")

    pipeline: dlt.Pipeline = run.pipeline
    assert pipeline.dataset_name == run.dataset.dataset_name
    assert len(list(DltProject().source("orders")())) == 4


def test_the_schema_is_that_of_the_snapshot(
    dlt_project: DltProject, dlt_schema_snapshot: SnapshotAssertion
) -> None:
    assert dlt_project.run("load_orders").schema == dlt_schema_snapshot


def test_what_a_resource_yields(dlt_items: DltItems) -> None:
    numbers = dlt.resource([{"id": 1}], name="numbers")
    both = dlt.source(lambda: (numbers, numbers.with_name("others")), name="both")()

    items: list[Any] = dlt_items(numbers)
    by_resource: dict[str, list[Any]] = dlt_items(both)
    assert by_resource == {"numbers": items, "others": items}
    assert dlt_items.cursors == dlt_items.state("numbers") == {}


def test_what_was_loaded_is_as_it_should_be(dlt_run: DltRun) -> None:
    @dlt.resource(
        primary_key="id", write_disposition="merge", schema_contract={"columns": "freeze"}
    )
    def items(id: Any = dlt.sources.incremental("id")) -> Any:
        yield from ({"id": 1}, {"id": 2})

    first: PipelineRun = dlt_run(items)
    table: dlt.Relation = first.dataset.table("items")
    assert_rows(table, [{"id": 2.1}], key="id", subset=True, tolerance=0.2)
    assert_columns(table, {"id": "bigint"}, nullable=())
    assert_unique(table, "id")
    assert_checks(first, {"items": [checks.is_unique("id")]})
    with raises_check("items", "id__is_in"):
        assert_checks(first, {"items": [checks.is_in("id", [7])]})
    assert issubclass(ChecksFailed, AssertionError)
    assert first.checks.is_ok
    assert_not_null(table, "id")
    assert_foreign_key(table, table, column="id")
    assert_no_failed_jobs(first)
    assert_incremental(first, first.next(given={"items": [{"id": 2}, {"id": 3}]}))
    assert_idempotent(first)
    with raises_contract_violation(table="items", entity="columns") as violation:
        first.next(given={"items": [{"id": 4, "colour": "red"}]})
    assert violation.column == "colour"


@pytest.mark.dlt_load("load_orders")
def test_what_is_loaded_once(dlt_loaded: PipelineRun, dlt_dataset: dlt.Dataset) -> None:
    assert dlt_loaded.row_counts == {"items": 2}
    assert len(dlt_dataset.table("items").fetchall()) == 2


@pytest.mark.usefixtures("dlt_isolated")
def test_what_is_remote_is_blocked() -> None:
    pipeline = dlt.pipeline(
        "p", destination=dlt.destinations.postgres("postgresql://u:p@h.invalid/d")
    )

    with pytest.raises(RemoteDestinationBlocked):
        pipeline.run([{"id": 1}], table_name="items")


ProjectFactory = Callable[[], AbstractContextManager[DltProject]]


def test_a_project_for_fixtures_of_wider_scope(dlt_project_factory: ProjectFactory) -> None:
    with dlt_project_factory() as project:
        assert project.run("load_orders").row_counts == {"items": 2}
        assert project.dataset("shop_data").tables
        assert project.entities.list_sources() == ["orders"]
        assert project.runner.entities.list_pipelines() == list(project.config.pipelines)
        assert project.context.profile == project.config.current_profile == "tests"
        assert project.pipeline("load_orders").pipeline_name == "load_orders"


def test_a_transformation_runs_on_rows_of_the_test(dlt_project: DltProject) -> None:
    totals: ProjectTransformation = dlt_project.transformation("totals")
    run: TransformationRun = totals.run(given={"items": [{"id": 1, "price": 10}]})

    assert run.rows("totals") == [{"n": 1, "price": 10}]


def test_what_a_crash_leaves(dlt_project: DltProject, dlt_faults: Faults) -> None:
    crashes: Crashes = dlt_project.crashed(
        "load_orders", again=[], points=["normalize"], kind="exception"
    )
    assert (crashes.reached, crashes.unreached) == (["normalize"], [])
    lost = dlt_faults.lose("items", after_commit=False, pipeline="load_orders")
    dlt_project.run("load_orders")
    assert lost.happened == 1
