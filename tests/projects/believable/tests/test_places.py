"""Where a test writes: never where production does."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import dlt
import etl
import pytest

from pytest_dlthub import RemoteDestinationBlocked

PROD = "postgresql://loader:secret-of-prod@db.invalid/prod"
TWO = [{"id": 1}, {"id": 2}]
# a folder that production writes to
ELSEWHERE = Path(etl.__file__).with_name("real")
TWICE = pytest.mark.parametrize("n", range(2))


@TWICE
def test_cleared_environment_does_not_open_the_sandbox(n):
    cleared = mock.patch.dict(os.environ, {"HOME": "/tmp"}, clear=True)
    with cleared, pytest.raises(RemoteDestinationBlocked):
        dlt.pipeline("p", destination=dlt.destinations.postgres(PROD)).run(TWO, table_name="t")


def test_replaced_environment_does_not_open_the_sandbox(monkeypatch):
    monkeypatch.setattr(os, "environ", {"HOME": "/tmp"})
    with pytest.raises(RemoteDestinationBlocked):
        dlt.pipeline("p", destination=dlt.destinations.postgres(PROD)).run(TWO, table_name="t")


@pytest.mark.dlt_allow_remote("postgres")
def test_allowed_is_a_place_and_no_name():
    with pytest.raises(RemoteDestinationBlocked):
        dlt.pipeline("p", destination=dlt.destinations.postgres(PROD)).run(TWO, table_name="t")


@pytest.mark.parametrize("url", ["{folder}", "file:{folder}", "file://{folder}"])
def test_files_elsewhere_are_written_in_the_sandbox(url):
    bucket = ELSEWHERE / "bucket"
    destination = dlt.destinations.filesystem(url.format(folder=bucket))
    pipeline = dlt.pipeline("files", destination=destination, dataset_name="data")
    pipeline.run(TWO, table_name="t")

    assert len(pipeline.dataset()["t"].fetchall()) == 2
    assert not bucket.exists()


@TWICE
def test_duckdb_elsewhere_is_written_in_the_sandbox(n):
    path = ELSEWHERE / "real.duckdb"
    pipeline = dlt.pipeline("p", destination=dlt.destinations.duckdb(str(path)), dataset_name="d")
    pipeline.run(TWO, table_name="t")

    assert len(pipeline.dataset()["t"].fetchall()) == 2
    assert not path.exists()


@TWICE
def test_bucket_in_memory_starts_empty(n):
    destination = dlt.destinations.filesystem("memory://bucket")
    pipeline = dlt.pipeline("in_memory", destination=destination, dataset_name="data")
    pipeline.run(TWO, table_name="t")

    assert len(pipeline.dataset()["t"].fetchall()) == 2


@TWICE
def test_loggers_are_as_they_were(n):
    assert logging.getLogger("dlt").level != logging.CRITICAL
    logging.getLogger("dlt").setLevel(logging.CRITICAL)


@TWICE
def test_schema_folders_are_copies(n):
    folder = Path(etl.__file__).with_name("schemas")
    pipeline = dlt.pipeline(
        "schemas",
        destination="duckdb",
        import_schema_path=str(folder / "import"),
        export_schema_path=str(folder / "export"),
    )
    pipeline.run(TWO, table_name=f"table_{n}")

    assert [name for name in pipeline.default_schema.tables if name[0] != "_"] == [f"table_{n}"]
    assert not folder.exists()


@TWICE
def test_pipelines_share_a_dataset_name_and_no_file(n):
    for name in ("one", "other"):
        pipeline = dlt.pipeline(name, destination="duckdb", dataset_name="shared")
        pipeline.run([{"id": name}], table_name="t")
        assert pipeline.dataset()["t"].fetchall()[0][0] == name
        assert len(pipeline.dataset()["t"].fetchall()) == 1


def test_subprocess_is_in_the_sandbox():
    code = f"""
import dlt
dlt.pipeline("child", destination=dlt.destinations.postgres({PROD!r})).run([1], table_name="t")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "RemoteDestinationBlocked" in done.stderr


def test_profile_of_production_is_guarded(dlt_project):
    with dlt_project.profile("prod"):
        run = dlt_project.run("load_orders")
    assert run.row_counts == {"items": 2, "items__lines": 2}
    assert "db.invalid" not in str(run.pipeline.destination_client().config.credentials)
