"""What a sandbox changed about destinations is remembered for the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest

from dlthub_project.sandbox import changed_destinations, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject

PASSWORD = "hunter2secret"


@dlt.destination
def crm(items: Any, table: Any) -> None:
    raise RuntimeError("sent")


def load(destination: Any, name: str = "load", **arguments: Any) -> dlt.Pipeline:
    pipeline = dlt.pipeline(name, destination=destination, dataset_name="data", **arguments)
    pipeline.run([{"id": 1}], table_name="rows")
    return pipeline


MANIFEST = f"""
    destinations:
      warehouse: {{type: postgres, credentials: "postgresql://u:{PASSWORD}@db.invalid/prod"}}
      lake: {{type: filesystem, bucket_url: "s3://key:{PASSWORD}@bucket/raw?token={PASSWORD}"}}
      files: {{type: duckdb}}
"""


def test_each_replaced_destination_is_told_with_its_type_and_its_place_in_tests(
    make_sandbox: MakeSandbox, write_project: WriteProject
) -> None:
    project = write_project(MANIFEST)

    with isolated(make_sandbox(project=project)) as sandbox:
        for name in ("warehouse", "lake", "files"):
            load(name, f"to_{name}")
        load(crm, "sends")
        local = sandbox.local_dir
        assert changed_destinations(sandbox.folder) == [
            f"warehouse (postgres) -> DuckDB {local}/warehouse-test.duckdb",
            f"lake (filesystem s3://***@bucket/raw) -> {local}/lake",
            f"files (duckdb) -> DuckDB {local}/files-test.duckdb",
            "crm (custom function) -> recorder",
            "what crm can do is not checked: it is a function",
        ]

    assert changed_destinations(sandbox.folder) == []


def test_type_that_code_names_is_told(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()) as sandbox:
        load("bigquery", "one")
        load(dlt.destinations.redshift(destination_name="warehouse"), "two")
        assert changed_destinations(sandbox.folder) == [
            f"bigquery -> DuckDB {sandbox.local_dir}/bigquery-test.duckdb",
            f"warehouse (redshift) -> DuckDB {sandbox.local_dir}/warehouse-test.duckdb",
        ]


def test_what_tests_have_in_its_place_is_told_without_credentials(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    url = f"postgresql://u:{PASSWORD}@db.invalid/tests"
    destinations = {
        "bigquery": {"destination_type": "postgres", "credentials": url},
        "snowflake": {"destination_type": "filesystem", "bucket_url": f"file://{tmp_path}/lake"},
    }

    with isolated(make_sandbox(destinations=destinations, local_roots=(str(tmp_path),))) as sandbox:
        dlt.pipeline("one", destination="bigquery")
        load("snowflake", "two")
        told = changed_destinations(sandbox.folder)

    assert told == [
        "bigquery -> postgres",
        f"snowflake -> filesystem file://{tmp_path}/lake",
    ]


def test_destination_that_stays_as_it_is_is_not_told(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    with isolated(make_sandbox(local_roots=(str(tmp_path),))) as sandbox:
        load(dlt.destinations.duckdb(str(tmp_path / "mine.duckdb")))
        assert changed_destinations(sandbox.folder) == []


@pytest.mark.parametrize(
    "staging", ["lake", dlt.destinations.filesystem("s3://bucket", destination_name="lake")]
)
def test_dropped_staging_is_told(make_sandbox: MakeSandbox, staging: Any) -> None:
    with isolated(make_sandbox()) as sandbox:
        load("redshift", staging=staging)
        redshift = f"redshift -> DuckDB {sandbox.local_dir}/redshift-test.duckdb"
        assert sorted(changed_destinations(sandbox.folder)) == [redshift, "staging lake dropped"]


def test_use_in_a_test_of_what_a_wider_fixture_has_made_is_told(
    make_sandbox: MakeSandbox,
) -> None:
    with isolated(make_sandbox("outer")) as outer:
        pipeline = load("bigquery")
        change = f"bigquery -> DuckDB {outer.local_dir}/bigquery-test.duckdb"

        with isolated(make_sandbox("unconcerned")) as inner:
            assert changed_destinations(inner.folder) == []
        with isolated(make_sandbox("inner")) as inner:
            pipeline.dataset().table("rows").fetchall()
            assert changed_destinations(inner.folder) == [change]
        with isolated(make_sandbox("around")) as inner:
            with isolated(outer, goes_on=True):
                pipeline.dataset().table("rows").fetchall()
            assert changed_destinations(inner.folder) == [change]
