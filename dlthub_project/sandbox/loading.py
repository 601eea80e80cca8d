"""Loads rows into a temporary DuckDB: many as Parquet, which is three to five times faster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt

from dlthub_project.dlt_internals import pipelines
from dlthub_project.sandbox import hints
from dlthub_project.sandbox.replacement import is_replaced
from dlthub_project.sandbox.settings import Sandbox

_FREE = "_dlthub_any_file_format"
# compressed: some thousand rows. For three rows Parquet is slower.
_WORTH_IT_BYTES = 20_000


def choose_file_format_freely(pipeline: dlt.Pipeline) -> None:
    """Let a pipeline load its rows as it is fastest: nobody declared its destination."""
    setattr(pipeline, _FREE, True)


def normalize(
    sandbox: Sandbox, original: Callable[..., Any], pipeline: dlt.Pipeline, *args: Any, **kw: Any
) -> Any:
    """Normalize, into Parquet where it pays or as the sandbox says.

    A declared DuckDB keeps its production loader.
    """
    hints.check_merge_strategies(pipeline)
    destination = pipeline.destination
    free = destination is not None and (is_replaced(destination) or hasattr(pipeline, _FREE))
    if not free or not destination.destination_type.endswith(".duckdb"):
        return original(pipeline, *args, **kw)
    file_format = sandbox.loader_file_format
    if file_format is None and _extracted_bytes(pipeline) >= _WORTH_IT_BYTES:
        file_format = "parquet"
    if file_format is None:
        return original(pipeline, *args, **kw)
    with pipelines.preferred_loader_file_format(pipeline, file_format):
        return original(pipeline, *args, **kw)


def _extracted_bytes(pipeline: dlt.Pipeline) -> int:
    folder = Path(pipeline.working_dir, "normalize")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
