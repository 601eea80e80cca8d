"""What the tests of checks share: pipelines on each kind of destination."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project import data_quality as dq

MakePipeline = Callable[[str], dlt.Pipeline]


@pytest.fixture
def make_pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakePipeline]:
    """Make a pipeline on a type of destination; what it makes on PostgreSQL is dropped."""
    made: list[dlt.Pipeline] = []

    def make(kind: str) -> dlt.Pipeline:
        url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
        destination: Any = {
            "duckdb": lambda: dlt.destinations.duckdb(str(tmp_path / "shop.duckdb")),
            "filesystem": lambda: dlt.destinations.filesystem((tmp_path / "files").as_uri()),
            "postgres": lambda: dlt.destinations.postgres(url),
        }[kind]()
        pipeline = dlt.pipeline(
            "shop",
            destination=destination,
            dataset_name=f"checks_{os.getpid()}",
            pipelines_dir=str(tmp_path / "pipelines"),
        )
        if kind == "postgres":
            made.append(pipeline)
        return pipeline

    yield make
    for pipeline in made:
        for name in (pipeline.dataset_name, f"{pipeline.dataset_name}_data_quality"):
            with pipeline.sql_client() as client:
                client.execute_sql(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


DESTINATIONS = [
    "duckdb",
    pytest.param("filesystem", marks=pytest.mark.slow),
    pytest.param("postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(params=DESTINATIONS)
def pipeline(request: pytest.FixtureRequest, make_pipeline: MakePipeline) -> dlt.Pipeline:
    """A pipeline that has loaded nothing."""
    return make_pipeline(request.param)


@pytest.fixture
def shop(tmp_path: Path) -> dlt.Pipeline:
    """A pipeline on DuckDB that looks at what it loads, and measures it."""
    return dq.enable_data_quality(
        dlt.pipeline(
            "shop",
            destination=dlt.destinations.duckdb(str(tmp_path / "shop.duckdb")),
            dataset_name="sales",
            pipelines_dir=str(tmp_path / "pipelines"),
        )
    )
