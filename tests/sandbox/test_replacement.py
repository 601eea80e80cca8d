"""What stands for a destination in a sandbox, however code names it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import dlt
import pytest

from dlthub_project.sandbox import Sandbox, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject


def load(destination: Any, *ids: int, **arguments: Any) -> dlt.Pipeline:
    arguments = {"pipeline_name": "load", "dataset_name": "data", **arguments}
    pipeline = dlt.pipeline(destination=destination, **arguments)
    pipeline.run([{"id": id_} for id_ in ids or (1,)], table_name="rows")
    return pipeline


def ids(dataset: dlt.Dataset) -> list[int]:
    return sorted(row[0] for row in dataset.table("rows").select("id").fetchall())


def databases(sandbox: Sandbox) -> list[str]:
    return sorted(path.name for path in Path(sandbox.local_dir).glob("*.duckdb"))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ("bigquery", "bigquery"),
        ("dlt.destinations.bigquery", "bigquery"),
        (dlt.destinations.bigquery, "bigquery"),
        (dlt.destinations.bigquery(), "bigquery"),
        (dlt.destinations.snowflake(destination_name="warehouse"), "warehouse"),
        (dlt.destinations.athena, "athena"),
        ("motherduck", "motherduck"),
        (dlt.destinations.duckdb(destination_name="mine"), "mine"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:40],
)
def test_any_way_to_name_a_destination_leads_to_a_file_of_its_name(
    make_sandbox: MakeSandbox, destination: Any, name: str
) -> None:
    with isolated(make_sandbox()) as sandbox:
        pipeline = load(destination, 1, 2)

        assert pipeline.destination.destination_name == name
        assert pipeline.destination.destination_type == "dlt.destinations.duckdb"
        assert databases(sandbox) == [f"{name}-test.duckdb"]
        assert ids(pipeline.dataset()) == [1, 2]
        assert ids(dlt.dataset(destination, "data")) == [1, 2]


def test_credentials_of_production_are_not_used(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for setting, value in {
        "DESTINATION_TYPE": "postgres",
        "CREDENTIALS": "postgresql://loader:secret@db.invalid/prod",
        "CREDENTIALS__HOST": "db.invalid",
        "CREDENTIALS__DATABASE": str(tmp_path / "prod.duckdb"),
        "CREDENTIALS__PASSWORD": "secret",
    }.items():
        monkeypatch.setenv(f"DESTINATION__WAREHOUSE__{setting}", value)
        monkeypatch.setenv(f"LOAD__DESTINATION__WAREHOUSE__{setting}", value)

    with isolated(make_sandbox()) as sandbox:
        assert ids(load("warehouse").dataset()) == [1]
        assert databases(sandbox) == ["warehouse-test.duckdb"]

    assert not (tmp_path / "prod.duckdb").exists()


def test_filesystem_stays_one_with_its_files_in_the_sandbox(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", "s3://prod")
    monkeypatch.setenv("DESTINATION__LAKE__DESTINATION_TYPE", "filesystem")
    monkeypatch.setenv("DESTINATION__LAKE__BUCKET_URL", "s3://prod")

    with isolated(make_sandbox()) as sandbox:
        for destination, name in [
            ("filesystem", "filesystem"),
            ("lake", "lake"),
            (dlt.destinations.filesystem(destination_name="mine"), "mine"),
        ]:
            pipeline = load(destination, pipeline_name=f"to_{name}")
            assert pipeline.destination.destination_type == "dlt.destinations.filesystem"
            assert ids(pipeline.dataset()) == [1]
            assert list(Path(sandbox.local_dir, name, "data", "rows").iterdir())


def test_naming_convention_given_in_code_is_kept(make_sandbox: MakeSandbox) -> None:
    destination = dlt.destinations.bigquery(naming_convention="sql_ci_v1")

    with isolated(make_sandbox()):
        pipeline = load(destination)
        assert pipeline.default_schema.naming.name() == "sql_ci_v1"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("every_type", [None, "filesystem"])
@pytest.mark.parametrize("staging", ["filesystem", dlt.destinations.filesystem("s3://prod")])
def test_staging_is_dropped(
    make_sandbox: MakeSandbox, staging: Any, every_type: str | None
) -> None:
    with isolated(make_sandbox(every_type=every_type)):
        pipeline = load("redshift", staging=staging)
        assert pipeline.staging is None
        assert ids(pipeline.dataset()) == [1]


def test_staging_given_to_run_is_dropped(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("load", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="rows", destination="redshift", staging="filesystem")
        assert pipeline.staging is None
        assert ids(pipeline.dataset()) == [1]


@pytest.mark.parametrize(
    "destination",
    [dlt.destinations.duckdb(), dlt.destinations.duckdb("relative.duckdb")],
    ids=["without place", "relative place"],
)
def test_instance_of_a_module_does_not_carry_rows_into_the_next_sandbox(
    make_sandbox: MakeSandbox, destination: Any
) -> None:
    for name, row in (("first", 1), ("second", 2)):
        with isolated(make_sandbox(name)) as sandbox:
            assert ids(load(destination, row).dataset()) == [row]
            assert len(databases(sandbox)) == 1

    assert "local_dir" not in destination.config_params


def test_destination_given_to_two_runs_stays_one_object(make_sandbox: MakeSandbox) -> None:
    destination = dlt.destinations.bigquery()

    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("load", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="rows", destination=destination)
        used = pipeline.destination
        pipeline.run([{"id": 2}], table_name="rows", destination=destination)

        assert pipeline.destination is used
        assert ids(pipeline.dataset()) == [1, 2]


def test_every_destination_can_be_of_another_type(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox(every_type="filesystem")) as sandbox:
        for destination in ("bigquery", dlt.destinations.duckdb()):
            pipeline = load(destination)
            assert pipeline.destination.destination_type == "dlt.destinations.filesystem"
            assert ids(pipeline.dataset()) == [1]
        assert databases(sandbox) == []
        assert list(Path(sandbox.local_dir, "bigquery", "data", "rows").iterdir())


def test_named_destination_can_be_given_another_place(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    files = {"destination_type": "filesystem", "bucket_url": str(tmp_path / "mine")}
    settings = {"destinations": {"warehouse": files}, "local_roots": (str(tmp_path),)}

    with isolated(make_sandbox(**settings)) as sandbox:
        assert ids(load("warehouse", 1).dataset()) == [1]
        assert list((tmp_path / "mine" / "data" / "rows").iterdir())
        assert ids(load("other", 2, pipeline_name="two").dataset()) == [2]
        assert databases(sandbox) == ["other-test.duckdb"]


@pytest.mark.parametrize("kind", ["duckdb", "filesystem"])
def test_named_destination_can_be_given_a_type_alone(
    make_sandbox: MakeSandbox, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__LAKE__BUCKET_URL", "s3://prod")
    monkeypatch.setenv("DESTINATION__LAKE__CREDENTIALS", "/nowhere/prod.duckdb")

    with isolated(make_sandbox(destinations={"lake": {"destination_type": kind}})):
        pipeline = load("lake")
        assert pipeline.destination.destination_type == f"dlt.destinations.{kind}"
        assert ids(pipeline.dataset()) == [1]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "destination",
    [
        "warehouse",
        "filesystem",
        dlt.destinations.bigquery(),
        dlt.destinations.duckdb("relative.duckdb"),
        dlt.destinations.filesystem("relative"),
    ],
    ids=["named", "files", "instance", "relative file", "relative files"],
)
def test_dataset_of_an_outer_sandbox_is_read_in_an_inner_one(
    make_sandbox: MakeSandbox, destination: Any
) -> None:
    with isolated(make_sandbox("outer")):
        pipeline = load(destination, 1)
        dataset = pipeline.dataset()
        not_yet_read = dlt.dataset(destination, "data")

        for name in ("first", "second"):
            with isolated(make_sandbox(name)):
                assert ids(load(destination, 2).dataset()) == [2]
                assert ids(dataset) == [1]
                assert ids(not_yet_read) == [1]
                assert ids(pipeline.dataset()) == [1]

        assert ids(dataset) == [1]


def test_pipeline_of_an_outer_sandbox_goes_on_there(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox("outer")):
        pipeline = load("warehouse", 1)
        with isolated(make_sandbox("inner")) as inner:
            pipeline.run([{"id": 2}], table_name="rows")
            assert databases(inner) == []

        assert ids(pipeline.dataset()) == [1, 2]


PROJECT = """
    destinations:
      warehouse: {type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}
"""


def test_threads_always_see_the_replacement(
    make_sandbox: MakeSandbox, write_project: WriteProject
) -> None:
    project = write_project(PROJECT)
    together = Barrier(8)

    def look_up(_: int) -> set[str]:
        together.wait()
        return {dlt.config["destination.warehouse.destination_type"] for _ in range(50)}

    with isolated(make_sandbox(project=project)), ThreadPoolExecutor(8) as threads:
        assert set().union(*threads.map(look_up, range(8))) == {"duckdb"}


def test_threads_share_what_stands_for_one_destination(make_sandbox: MakeSandbox) -> None:
    destination = dlt.destinations.bigquery()
    together = Barrier(8)

    def name_it(_: int) -> int:
        together.wait()
        return id(dlt.dataset(destination, "data")._destination)

    with isolated(make_sandbox()), ThreadPoolExecutor(8) as threads:
        dlt.dataset(destination, "data")
        assert len(set(threads.map(name_it, range(8)))) == 1
