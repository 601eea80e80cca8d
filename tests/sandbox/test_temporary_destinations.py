"""Destinations that are declared or named are DuckDB files in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dlt
import pytest

from dlthub_project.sandbox import Sandbox, isolated
from dlthub_project.sandbox.destinations import TemporaryDestinations

REMOTE = """
    destinations:
      warehouse:
        type: postgres
        credentials: postgresql://loader:secret@db.invalid:5432/prod
      lake:
        type: duckdb
        credentials: /somewhere/else/prod.duckdb
"""


@pytest.fixture
def sandbox(tmp_path: Path, write_project: Callable[..., Path]) -> Iterator[Sandbox]:
    root = write_project(REMOTE)
    with isolated(Sandbox(str(tmp_path / "sandbox"), str(root), str(root))) as entered:
        yield entered


def load(destination: str) -> dlt.Pipeline:
    pipeline = dlt.pipeline(f"to_{destination}", destination=destination, dataset_name="data")
    pipeline.run([{"id": 1}, {"id": 2}], table_name="rows")
    return pipeline


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["warehouse", "lake", "bigquery", "postgres"])
def test_rows_are_loaded_into_a_file_of_the_destinations_name(sandbox: Sandbox, name: str) -> None:
    pipeline = load(name)

    assert pipeline.destination.destination_name == name
    assert pipeline.destination.destination_type == "dlt.destinations.duckdb"
    assert Path(sandbox.local_dir, f"{name}-test.duckdb").is_file()
    assert pipeline.dataset().table("rows").fetchall()[0][0] == 1


def test_entities_of_the_project_are_replaced_too(sandbox: Sandbox) -> None:
    destination = dlt.hub.current.project.entities().get_destination("warehouse")

    assert destination.destination_type == "dlt.destinations.duckdb"


def test_values_in_the_environment_do_not_bring_the_remote_one_back(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "postgres")
    monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", "postgresql://u:p@db.invalid/prod")
    monkeypatch.setenv("TO_WAREHOUSE__DESTINATION__WAREHOUSE__CREDENTIALS", "postgresql://x/y")
    monkeypatch.setenv("CREDENTIALS", "postgresql://u:p@db.invalid/prod")

    pipeline = load("warehouse")

    assert pipeline.destination.destination_type == "dlt.destinations.duckdb"
    assert Path(sandbox.local_dir, "warehouse-test.duckdb").is_file()


def test_a_dataset_may_be_called_as_its_destination(sandbox: Sandbox) -> None:
    pipeline = dlt.pipeline("same", destination="warehouse", dataset_name="warehouse")
    pipeline.run([{"id": 1}], table_name="rows")

    assert pipeline.dataset().table("rows").fetchall()[0][0] == 1


def test_two_datasets_of_one_destination_share_its_file(sandbox: Sandbox) -> None:
    load("warehouse")
    dlt.pipeline("other", destination="warehouse", dataset_name="more").run(
        [{"id": 3}], table_name="rows"
    )

    assert dlt.dataset("warehouse", "data").table("rows").fetchall()[0][0] == 1
    assert dlt.dataset("warehouse", "more").table("rows").fetchall()[0][0] == 3


@pytest.mark.parametrize("every_type", [None, "filesystem", "postgres"])
@pytest.mark.parametrize("pipeline_name", [None, "pipe"])
def test_each_setting_of_a_destination_is_answered_and_no_other_is(
    tmp_path: Path, every_type: str | None, pipeline_name: str | None
) -> None:
    postgres = {
        "destination_type": "postgres",
        "credentials": "postgresql://db",
        "create_indexes": 1,
    }
    given = {"orders": {**postgres, "dataset_name_normalization": False}, "postgres": postgres}
    made = Sandbox(str(tmp_path), None, str(tmp_path), destinations=given, every_type=every_type)

    with isolated(made):
        provider = TemporaryDestinations(made)
        for name in ("orders", "postgres", "bigquery", "filesystem"):
            settings = provider.decide(name).settings
            for key in (*settings, "host", "password", "create_indexes", "layout"):
                answer, _ = provider.get_value(key, str, pipeline_name, "destination", name)
                assert answer == settings.get(key)
            for sections in ((), ("destination",), ("destination", name, "credentials")):
                answer, _ = provider.get_value("credentials", str, pipeline_name, *sections)
                assert answer is None
