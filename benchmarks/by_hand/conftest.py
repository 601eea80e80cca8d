"""What a careful engineer writes today: each test has a pipeline and a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dlt
import pytest
from crm import crm
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext


def deactivate_pipeline() -> None:
    """Have no pipeline active: the next test would continue with it."""
    context = Container()[PipelineContext]
    if context.is_active():
        context.deactivate()


@pytest.fixture(autouse=True)
def clean_dlt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each test without telemetry, in folders of its own, with no pipeline active."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    deactivate_pipeline()
    yield
    deactivate_pipeline()


@pytest.fixture
def dataset(tmp_path: Path, clean_dlt: None) -> dlt.Dataset:
    """What the source loads into a new DuckDB file."""
    pipeline = dlt.pipeline(
        "crm",
        destination=dlt.destinations.duckdb(str(tmp_path / "crm.duckdb")),
        dataset_name="crm_data",
    )
    pipeline.run(crm())
    return pipeline.dataset()
