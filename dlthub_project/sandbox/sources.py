"""Sources that several tests run: their schemas are as they were before the first one.

dlt writes what a run has learned into the schema of the source object. A module makes that object
once, in production for one run, in tests for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltSource

from dlthub_project.sandbox.settings import Sandbox

_RECORD = "_dlthub_record"


@dataclass
class _Record:
    """A schema as it was when the first sandbox ran it, and the sandbox that ran it last."""

    folder: str
    original: Schema


def forget_other_tests(data: Any, sandbox: Sandbox) -> None:
    """Put the schemas of sources back that an earlier sandbox has run.

    In place: copies of a source, as `with_resources` makes them, share its schema.
    """
    for source in data if isinstance(data, list | tuple) else [data]:
        if not isinstance(source, DltSource):
            continue
        state = vars(source.schema)
        record: _Record | None = state.get(_RECORD)
        if record is None:
            state[_RECORD] = _Record(sandbox.folder, source.schema.clone())
        elif record.folder != sandbox.folder:
            state.update(vars(record.original.clone()))
            state[_RECORD] = _Record(sandbox.folder, record.original)
