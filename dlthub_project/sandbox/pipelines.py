"""Pipelines of an earlier sandbox, or of none: made anew in the one that uses them."""

from __future__ import annotations

import os
import weakref
from typing import Any

import dlt

from dlthub_project.dlt_internals import pipelines
from dlthub_project.sandbox import replacement
from dlthub_project.sandbox.imports import is_import_running
from dlthub_project.sandbox.settings import Sandbox

USES = (
    "activate",
    "dataset",
    "destination_client",
    "drop",
    "drop_pending_packages",
    "get_load_package_info",
    "get_local_state_val",
    "list_completed_load_packages",
    "list_extracted_load_packages",
    "list_failed_jobs_in_package",
    "list_normalized_load_packages",
    "managed_state",
    "normalize",
    "set_local_state_val",
    "sql_client",
    "sync_destination",
    "sync_schema",
)
"""The methods through which a pipeline is used, but for `run`, `load` and `extract`."""

PROPERTIES = (
    "default_schema",
    "destination",
    "has_data",
    "has_pending_data",
    "last_trace",
    "naming",
    "schemas",
    "staging",
    "state",
)
"""What a pipeline tells of itself."""

ATTRIBUTES = (
    "dataset_name",
    "default_schema_name",
    "first_run",
    "pipelines_dir",
    "schema_names",
    "working_dir",
)
"""What it tells, too, and has set on itself."""

_FOLDER = "_dlthub_sandbox_folder"
_IS_RESET = "_dlthub_is_reset"
_DATASET_NAME = "_dlthub_dataset_name"

# by the folder of the sandbox, while it lasts
_made: dict[str, weakref.WeakSet[dlt.Pipeline]] = {}


def keep_files_in(sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    """Change the folders among a pipeline's arguments that it would write to elsewhere."""
    if not sandbox.is_local_path(arguments["pipelines_dir"]):
        arguments["pipelines_dir"] = os.path.join(sandbox.data_dir, "pipelines")
    exported = arguments.get("export_schema_path")
    if exported and not sandbox.is_local_path(exported):
        folder = os.path.join(sandbox.data_dir, "schemas", arguments["pipeline_name"])
        os.makedirs(folder, exist_ok=True)
        arguments["export_schema_path"] = folder


def remember_origin(pipeline: dlt.Pipeline, sandbox: Sandbox, dataset_name: str | None) -> None:
    """Note where a new pipeline was made, and whether by a module that is being imported."""
    setattr(pipeline, _FOLDER, sandbox.folder)
    if not hasattr(pipeline, _IS_RESET):
        setattr(pipeline, _IS_RESET, is_import_running())
        setattr(pipeline, _DATASET_NAME, dataset_name)
    _made.setdefault(sandbox.folder, weakref.WeakSet()).add(pipeline)


def bring_into(pipeline: dlt.Pipeline, sandbox: Sandbox) -> None:
    """Reset a pipeline that no sandbox of now made: without state, in this sandbox's folders.

    A module made it, or code in a sandbox that has ended. Others stay: a fixture of wider scope
    may have loaded data with them.
    """
    folder = getattr(pipeline, _FOLDER, None)
    if folder == sandbox.folder or not getattr(pipeline, _IS_RESET, True):
        return
    if "config" not in vars(pipeline):
        # what dlt pickles of one only tells what it was
        return
    # made outside of any sandbox, it does not have the marks yet; what it reads of itself while
    # it is made again is not to be reset
    setattr(pipeline, _IS_RESET, True)
    setattr(pipeline, _FOLDER, sandbox.folder)
    try:
        destination, staging = (
            replacement.rebound(used, sandbox) if used is not None else None
            for used in (pipeline.destination, pipeline.staging)
        )
        # a run may have been given another one
        dataset_name = getattr(pipeline, _DATASET_NAME, None)
        pipelines.make_again(pipeline, destination, staging, dataset_name)
    except BaseException:
        setattr(pipeline, _FOLDER, folder)
        raise


def leave_behind(folder: str) -> None:
    """Have the pipelines of a sandbox that ends reset, should code still have and use them."""
    for pipeline in _made.pop(folder, ()):
        setattr(pipeline, _IS_RESET, True)
