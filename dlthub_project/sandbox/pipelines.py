"""Makes pipelines of an earlier sandbox, or of none, as new in the sandbox that uses them."""

from __future__ import annotations

import hashlib
import os
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dlt
from dlt.common.schema import Schema

from dlthub_project.dlt_internals import configuration, datasets, pipelines, relations
from dlthub_project.errors import ProjectError
from dlthub_project.sandbox import destinations
from dlthub_project.sandbox.at_import import is_import_running
from dlthub_project.sandbox.settings import Sandbox, has_ended

_RECORD = "_dlthub_record"
_SCHEMA_PATHS = ("import_schema_path", "export_schema_path")


# by the folder of the sandbox, while it lasts
_made: dict[str, weakref.WeakSet[dlt.Pipeline]] = {}
# folders of sandboxes of the process above that have existed
_found: set[str] = set()


@dataclass
class _Record:
    """What this package knows of a pipeline.

    Attributes:
        folder: The folder of the sandbox that it belongs to; None if it was made outside of any.
        is_reset: Whether another sandbox that uses it makes it anew.
        dataset_name: The name that it was made with; a run may have got another one.
        schema_paths: The folders that code gave it to import schemas from and export them to.
        takes_any_file_format: Whether rows are loaded in the fastest format, because nobody has
            declared its destination.
    """

    folder: str | None = None
    is_reset: bool = True
    dataset_name: str | None = None
    schema_paths: tuple[str | None, str | None] = (None, None)
    takes_any_file_format: bool = False


def check_is_there(sandbox: Sandbox) -> None:
    """Make sure that the sandbox of the process above still exists.

    Raises:
        ProjectError: It was deleted: a worker has outlived the test that has started it.
    """
    if not sandbox.is_inherited:
        return
    if os.path.isdir(sandbox.folder):
        _found.add(sandbox.folder)
    elif sandbox.folder in _found:
        raise ProjectError(
            "This process belongs to a test that has ended, and the data of that are deleted: "
            f"{sandbox.folder}. What is loaded here no test would see.",
            "Start its pool of workers in each test, or stop it at the end of each: "
            "`loky.get_reusable_executor().shutdown()` in a fixture, for one of joblib.",
        )


def keep_files_in(sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    """Replace the folders among a pipeline's arguments that lie outside of the sandbox."""
    if not sandbox.is_local_path(arguments["pipelines_dir"]):
        arguments["pipelines_dir"] = os.path.join(sandbox.data_dir, "pipelines")
    for name in _SCHEMA_PATHS:
        path = arguments.get(name)
        if path and not sandbox.is_local_path(path):
            arguments[name] = _copy_of_schemas(path, sandbox)


def keep_schemas_in(sandbox: Sandbox, pipeline: dlt.Pipeline) -> None:
    """Replace the folders of schemas that a new pipeline has from its configuration."""
    settings = configuration.folders_of_schemas(pipeline)
    for name in _SCHEMA_PATHS:
        path = getattr(settings, name)
        if path and not sandbox.is_local_path(path):
            setattr(settings, name, _copy_of_schemas(path, sandbox))


def _copy_of_schemas(path: str, sandbox: Sandbox) -> str:
    """Return a copy of a folder of schemas: dlt writes into it, also where it imports them."""
    # one for all pipelines that share the folder
    real = os.path.realpath(path)
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    copy = os.path.join(sandbox.data_dir, "schemas", name)
    if not os.path.isdir(copy):
        if os.path.isdir(real):
            shutil.copytree(real, copy)
        else:
            os.makedirs(copy)
    return copy


def remember_origin(pipeline: dlt.Pipeline, sandbox: Sandbox, given: Mapping[str, Any]) -> None:
    """Note where a new pipeline was made, with which arguments, and whether in an import."""
    if _RECORD not in vars(pipeline):
        paths = tuple(given.get(name) for name in _SCHEMA_PATHS)
        vars(pipeline)[_RECORD] = _Record(
            is_reset=is_import_running(),
            dataset_name=given.get("dataset_name"),
            schema_paths=(paths[0], paths[1]),
        )
    _record_of(pipeline).folder = sandbox.folder
    _made.setdefault(sandbox.folder, weakref.WeakSet()).add(pipeline)


def bring_into(pipeline: dlt.Pipeline, sandbox: Sandbox) -> None:
    """Reset a pipeline that no present sandbox has made: without state, in this sandbox's folders.

    A module has made it, or code in a sandbox that has ended. Other pipelines stay: a fixture of
    wider scope may have loaded data with them.
    """
    record = _record_of(pipeline)
    folder = record.folder
    if folder == sandbox.folder or not record.is_reset:
        return
    if "config" not in vars(pipeline):
        # the pickle of a pipeline is only a description
        return
    # first, so that the pipeline can read its own attributes while it is made again
    record.folder = sandbox.folder
    try:
        destination, staging = (
            destinations.rebound(used, sandbox) if used is not None else None
            for used in (pipeline.destination, pipeline.staging)
        )
        pipelines.make_again(
            pipeline, destination, staging, record.dataset_name, record.schema_paths
        )
    except BaseException:
        record.folder = folder
        raise


def unused_instance_id(instance_id: str, sandbox: Sandbox) -> str:
    """Return a suffix of `dev_mode` that is new in a sandbox: dlt's own changes once in a second.

    Args:
        instance_id: Such as `_20260101120000`.
        sandbox: The sandbox; subprocesses of it count.
    """
    folder = os.path.join(sandbox.data_dir, "dev_mode")
    os.makedirs(folder, exist_ok=True)
    number = int(instance_id[1:])
    while not _make_folder(os.path.join(folder, str(number))):
        number += 1
    return f"_{number}"


def _make_folder(path: str) -> bool:
    """Make a folder; tell whether it was not there yet."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


def leave_behind(folder: str) -> None:
    """Mark the pipelines of a sandbox that ends to be reset if code still uses them."""
    for pipeline in _made.pop(folder, ()):
        _record_of(pipeline).is_reset = True


def keep_content_of(schema: Schema) -> None:
    """Give pipelines that go on with the schema of their source a copy, which keeps its content."""
    users = [pipeline for made in _made.values() for pipeline in made]
    if users:
        copied = schema.clone()
        for pipeline in users:
            pipelines.replace_schema(pipeline, schema, copied)


def choose_file_format_freely(pipeline: dlt.Pipeline) -> None:
    """Let a pipeline load its rows in the fastest format: nobody has declared its destination."""
    _record_of(pipeline).takes_any_file_format = True


def takes_any_file_format(pipeline: dlt.Pipeline) -> bool:
    """Tell whether a pipeline's rows may be loaded in the fastest format."""
    return _record_of(pipeline).takes_any_file_format


def _record_of(pipeline: dlt.Pipeline) -> _Record:
    # one that was made outside of any sandbox has none yet
    record: _Record = vars(pipeline).setdefault(_RECORD, _Record())
    return record


@dataclass
class _DatasetRecord:
    """Where a dataset was made or used last, and the pipeline that it belongs to."""

    sandbox: Sandbox | None = None
    is_made_at_import: bool = False
    pipeline: dlt.Pipeline | None = None

    def __getstate__(self) -> dict[str, Any]:
        # a pickle or copy keeps only the place
        return {**vars(self), "pipeline": None}


def remember_dataset(dataset: dlt.Dataset, sandbox: Sandbox | None) -> None:
    """Note where a dataset is made, and whether in an import."""
    vars(dataset)[_RECORD] = _DatasetRecord(sandbox, is_import_running())


def remember_pipeline(dataset: dlt.Dataset, pipeline: dlt.Pipeline) -> None:
    """Note the pipeline that a dataset belongs to."""
    vars(dataset).setdefault(_RECORD, _DatasetRecord()).pipeline = pipeline


def bring_relation_into(relation: dlt.Relation, sandbox: Sandbox) -> None:
    """Have a relation find its columns anew where its dataset reads in another place than then."""
    dataset = relations.dataset_of(relation)
    bring_dataset_into(dataset, sandbox)
    record: _DatasetRecord = vars(dataset)[_RECORD]
    place = record.sandbox.folder if record.sandbox else ""
    if vars(relation).setdefault(_RECORD, place) != place:
        vars(relation).update({_RECORD: place, datasets.ATTRIBUTE_OF_COLUMNS: None})


def bring_dataset_into(dataset: dlt.Dataset, sandbox: Sandbox) -> None:
    """Move a dataset that code keeps in a module or cache into this sandbox.

    Datasets of a sandbox that lasts stay there: a fixture of wider scope may have loaded them.
    """
    record: _DatasetRecord = vars(dataset).setdefault(_RECORD, _DatasetRecord())
    made_in = record.sandbox
    if made_in is not None and (
        made_in.folder == sandbox.folder or not (record.is_made_at_import or has_ended(made_in))
    ):
        return
    record.sandbox = sandbox
    if record.pipeline is None:
        destination = destinations.in_sandbox(datasets.destination_of(dataset), sandbox)
    else:
        bring_into(record.pipeline, sandbox)
        destination = record.pipeline.destination
    datasets.move(dataset, destination, is_of_pipeline=record.pipeline is not None)
