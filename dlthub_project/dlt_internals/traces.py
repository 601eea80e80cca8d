"""What dlt keeps of a pipeline's last run: in memory and in a file of its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dlt
from dlt.common.schema import Schema
from dlt.pipeline.trace import TRACE_FILE_NAME, load_trace, save_trace

TRACE_FILE = TRACE_FILE_NAME
"""The file that a pipeline keeps the trace of its last run in."""


def rewrite_trace(file: Path, rewritten: Callable[[Any], Any]) -> None:
    """Write a pipeline's trace again. dlt#1687: it has the secrets that dlt has looked up.

    Args:
        file: The file; one that cannot be read is deleted.
        rewritten: Returns the content to keep, of a tuple of texts and nested lists.
    """
    trace = load_trace(str(file.parent))
    file.unlink()
    if trace is not None:
        kept = rewritten(trace)
        for schema in _schemas_in(kept):
            # dlt removes these from a schema that it pickles: an unpickled schema lacks them
            for name in ("naming", "data_item_normalizer"):
                vars(schema).setdefault(name, None)
        save_trace(str(file.parent), kept)


def _schemas_in(value: Any) -> Iterator[Schema]:
    if isinstance(value, Schema):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _schemas_in(part)


def rewrite_last_trace(pipeline: dlt.Pipeline, rewritten: Callable[[Any], Any]) -> None:
    """Rewrite the trace of the run that has just ended, in memory and in its file."""
    trace = pipeline._last_trace
    if trace is None or (kept := rewritten(trace)) == trace:
        return
    pipeline._last_trace = kept
    file = Path(pipeline.working_dir, TRACE_FILE)
    if file.is_file():
        rewrite_trace(file, rewritten)
