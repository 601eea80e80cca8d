"""Pipelines in a sandbox: those made at import are reset for each test, and all runs are seen."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import dlt

from dlthub_project import dlt_internals
from dlthub_project.sandbox import replacement
from dlthub_project.sandbox.imports import is_import_running
from dlthub_project.sandbox.settings import Sandbox

USES = (
    "activate",
    "dataset",
    "destination_client",
    "extract",
    "normalize",
    "sql_client",
    "sync_destination",
)
"""The methods through which a pipeline is used, beside `run` and `load`, which are observed."""

_FOLDER = "_dlthub_sandbox_folder"
_MADE_AT_IMPORT = "_dlthub_made_at_import"

_observers: list[Callable[[dlt.Pipeline, Any], None]] = []
_running: list[dlt.Pipeline] = []


def keep_files_in(sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    """Change the folders among a pipeline's arguments that it would write to elsewhere."""
    if not sandbox.is_local_path(arguments["pipelines_dir"]):
        arguments["pipelines_dir"] = os.path.join(sandbox.data_dir, "pipelines")
    exported = arguments.get("export_schema_path")
    if exported and not sandbox.is_local_path(exported):
        folder = os.path.join(sandbox.data_dir, "schemas", arguments["pipeline_name"])
        os.makedirs(folder, exist_ok=True)
        arguments["export_schema_path"] = folder


def remember_origin(pipeline: dlt.Pipeline, sandbox: Sandbox) -> None:
    """Note where a new pipeline was made, and whether by a module that is being imported."""
    setattr(pipeline, _FOLDER, sandbox.folder)
    if not hasattr(pipeline, _MADE_AT_IMPORT):
        setattr(pipeline, _MADE_AT_IMPORT, is_import_running())


def bring_into(pipeline: dlt.Pipeline, sandbox: Sandbox) -> None:
    """Reset a pipeline that a module made: without state, in this sandbox's folders.

    Others stay: a fixture of wider scope may have loaded data with them.
    """
    if getattr(pipeline, _FOLDER, None) == sandbox.folder:
        return
    if getattr(pipeline, _MADE_AT_IMPORT, True):
        # made outside of any sandbox, it does not have the mark yet
        setattr(pipeline, _MADE_AT_IMPORT, True)
        destination, staging = (
            replacement.rebound(used, sandbox) if used is not None else None
            for used in (pipeline.destination, pipeline.staging)
        )
        dlt_internals.make_again(pipeline, destination, staging)


@contextlib.contextmanager
def observe_runs(observer: Callable[[dlt.Pipeline, Any], None]) -> Iterator[None]:
    """Call `observer` with pipeline and load info after every run in this process.

    The load info is None when there was nothing to load.
    """
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


@contextlib.contextmanager
def observed(pipeline: dlt.Pipeline) -> Iterator[Callable[[Any], None]]:
    """Tell the observers of a run that succeeds; `load` within `run` is a part of it."""
    is_part = pipeline in _running
    _running.append(pipeline)

    def done(info: Any) -> None:
        if not is_part:
            for observer in _observers:
                observer(pipeline, info)

    try:
        yield done
    finally:
        _running.remove(pipeline)
