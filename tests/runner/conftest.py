"""What the tests of the runner share: a pipeline, and a policy that does not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest


@pytest.fixture
def pipeline(tmp_path: Path) -> dlt.Pipeline:
    """A pipeline made in code, outside of any project, into a DuckDB file."""
    made: dlt.Pipeline = dlt.pipeline(
        "numbers",
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.duckdb(str(tmp_path / "numbers.duckdb")),
        dataset_name="numbers_data",
    )
    return made


@pytest.fixture
def no_wait() -> dict[str, Any]:
    """A policy of three attempts without any wait."""
    return {"type": "fixed", "max_attempts": 3, "min": 0}
