"""dlt's pipelines: their folders and settings."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import dlt
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext,
)
from dlt.common.data_types import coerce_value, py_type_to_sc_type
from dlt.common.destination.client import WithStateSync
from dlt.common.json import json
from dlt.common.runtime.collector import LogCollector as LogCollector
from dlt.common.runtime.collector_base import Collector
from dlt.common.schema import Schema
from dlt.common.storages import FileStorage, LoadStorage, NormalizeStorage
from dlt.common.storages.load_package import ParsedLoadJobFileName
from dlt.common.versioned_state import decompress_state
from dlt.pipeline.state_sync import load_pipeline_state_from_destination

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.storages.load_package import PackageStorage

OfClass = TypeVar("OfClass", bound=dlt.Pipeline)


ARROW = ".parquet"  # the ending of extracted files of Arrow data


def use_local_dir(pipeline: dlt.Pipeline, local_dir: str) -> None:
    """Put the files of a pipeline's destinations into `local_dir`.

    A pipeline keeps the folder of its first run, which may have been that of another profile.
    """
    if pipeline.get_local_state_val("initial_cwd") == local_dir:
        return
    pipeline.set_local_state_val("initial_cwd", local_dir)
    for destination in (pipeline.destination, pipeline.staging):
        if destination is not None and "local_dir" in destination.config_params:
            destination.config_params["local_dir"] = local_dir


def make_again(
    pipeline: dlt.Pipeline,
    destination: AnyDestination | None,
    staging: AnyDestination | None,
    dataset_name: str | None,
    schema_paths: tuple[str | None, str | None] = (None, None),
) -> None:
    """Make a pipeline anew in place: without state, in the folders of the active run context.

    Without `dataset_name` it keeps the one that it has. `schema_paths` are the folders that it
    imports schemas from and exports them to.
    """
    context = Container()[PluggableRunContext]
    config = pipeline.config.copy()
    config.runtime = config.runtime.copy()
    config.runtime.pluggable_run_context = context
    config.runtime.intercept_signals = dlt.config.get("runtime.intercept_signals", bool)
    pipeline.__init__(  # type: ignore[misc]  # as `Pipeline.drop` does
        pipeline_name=pipeline.pipeline_name,
        pipelines_dir=context.context.get_data_entity("pipelines"),
        pipeline_salt=pipeline.pipeline_salt,
        destination=destination,
        staging=staging,
        dataset_name=dataset_name or requested_dataset_name(pipeline),
        import_schema_path=schema_paths[0],
        export_schema_path=schema_paths[1],
        dev_mode=pipeline.dev_mode,
        progress=pipeline.collector,
        must_attach_to_local_pipeline=False,
        config=config,
        refresh=pipeline.refresh,
    )


def requested_dataset_name(pipeline: dlt.Pipeline) -> str:
    """Return the name that a pipeline's dataset was given, without the suffix of `dev_mode`.

    Empty for one that was given none, and loads into a function: dlt makes no name for it.
    """
    return (pipeline.dataset_name or "").removesuffix(pipeline._pipeline_instance_id)


def as_stored(schema: Schema) -> Schema:
    """Return a copy of a schema as it is when it is read from a destination."""
    return Schema.from_dict(schema.to_dict(), validate_schema=False)  # type: ignore[arg-type]  # a typed dict


def set_default(key: str, value: Any, pipeline_name: str, *sections: str) -> None:
    """Set a value for one pipeline in the lowest provider, which all others override."""
    lowest = Container()[PluggableRunContext].providers.providers[-1]
    lowest.set_value(key, value, pipeline_name, *sections)


class _OfRun(ConfigProvider):
    """The values of one pipeline's run."""

    def __init__(self, pipeline_name: str, values: Mapping[tuple[str, ...], Any]) -> None:
        self._pipeline_name, self._values = pipeline_name, values

    def get_value(
        self, key: str, hint: Any, pipeline_name: str | None, *sections: str
    ) -> tuple[Any, str]:
        value = self._values.get((*sections, key)) if pipeline_name == self._pipeline_name else None
        return value, key

    @property
    def supports_secrets(self) -> bool:
        return False

    @property
    def supports_sections(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return "The pipeline's runner"


@contextmanager
def job_errors_raised_at_once(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Have the loads of a pipeline raise the first error of a job, whatever is configured.

    dlt runs such a job again otherwise, five times, though its rows may be at the destination.
    """
    first = _OfRun(pipeline.pipeline_name, {("load", "raise_on_max_retries"): 1})
    providers = Container()[PluggableRunContext].providers.providers
    providers.insert(0, first)
    try:
        yield
    finally:
        providers.remove(first)


def skip_restore(pipeline: dlt.Pipeline) -> None:
    """Make the first run of a new pipeline skip the restore of its state.

    For a database that does not exist yet, it would connect twice, and make the file.
    """
    if not pipeline.has_data:
        pipeline._state_restored = True


@contextmanager
def preferred_loader_file_format(pipeline: dlt.Pipeline, file_format: str) -> Iterator[None]:
    """In a block, normalize writes `file_format` where resource and run name no format."""
    caps = pipeline.destination.caps_params
    missing = object()
    earlier = caps.get("preferred_loader_file_format", missing)
    caps["preferred_loader_file_format"] = file_format
    try:
        yield
    finally:
        if earlier is missing:
            del caps["preferred_loader_file_format"]
        else:
            caps["preferred_loader_file_format"] = earlier


def mark_restored(pipeline: dlt.Pipeline) -> None:
    """Make the next run of a pipeline skip the restore of its state, which was just done."""
    pipeline._state_restored = True


def thread_of_work() -> int:
    """Return the thread whose work is done here: in a thread of dlt's pool, its maker."""
    return Container()._effective_thread_id()


OnStep = Callable[[str, Any, Any], None]
"""Is told the name of a step, its trace (None when it starts), and the trace of the pipeline."""


class _Watching(Collector):
    """Passes everything on to another collector, and reports each step."""

    def __init__(self, watched: Collector, on_step: OnStep) -> None:
        self.watched = watched
        self.on_step = on_step

    def __call__(self, step: str) -> Any:
        return self.watched(step)

    def __getattr__(self, name: str) -> Any:
        if name == "watched":
            raise AttributeError(name)
        return getattr(self.watched, name)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.watched.update(*args, **kwargs)

    def _start(self, step: str) -> None:
        self.watched._start(step)

    def _stop(self) -> None:
        self.watched._stop()

    def on_start_trace(self, *args: Any) -> None:
        self.watched.on_start_trace(*args)

    def on_start_trace_step(self, trace: Any, step: Any, pipeline: Any) -> None:
        self.on_step(step, None, trace)
        self.watched.on_start_trace_step(trace, step, pipeline)

    def on_end_trace_step(self, trace: Any, step: Any, *args: Any) -> None:
        self.on_step(step.step, step, trace)
        self.watched.on_end_trace_step(trace, step, *args)

    def on_end_trace(self, *args: Any) -> None:
        self.watched.on_end_trace(*args)


@contextmanager
def watched_steps(pipeline: dlt.Pipeline, on_step: OnStep) -> Iterator[None]:
    """Call `on_step` at the start and the end of each step of `pipeline` in a block."""
    original = pipeline.collector
    pipeline.collector = _Watching(original, on_step)
    try:
        yield
    finally:
        pipeline.collector = original


def destination_client(pipeline: dlt.Pipeline, schema: Schema) -> JobClientBase:
    """Return the client of a pipeline's dataset for any schema, also one that it does not have."""
    client: JobClientBase = pipeline._get_destination_clients(schema)[0]
    return client


def normalized_packages(pipeline: dlt.Pipeline) -> PackageStorage:
    """Return the storage of the packages that a pipeline has normalized and not loaded."""
    return LoadStorage(False, [], pipeline._load_storage_config()).normalized_packages


def extracted_packages(pipeline: dlt.Pipeline) -> PackageStorage:
    """Return the storage of the packages that a pipeline has extracted."""
    return NormalizeStorage(False, pipeline._normalize_storage_config()).extracted_packages


def extracted_files(pipeline: dlt.Pipeline, ending: str = "") -> Iterator[tuple[str, str, Schema]]:
    """Yield the files that a pipeline has extracted: path, table, and the schema of the package.

    Args:
        pipeline: The pipeline.
        ending: That of the files, such as `ARROW`; without any of them no schema is read.
    """
    packages = extracted_packages(pipeline)
    for load_id in pipeline.list_extracted_load_packages():
        paths = [path for path in packages.list_new_jobs(load_id) if path.endswith(ending)]
        if not paths:
            continue
        schema = packages.load_schema(load_id)
        for path in paths:
            name = ParsedLoadJobFileName.parse(path).table_name
            yield packages.storage.make_full_path(path), name, schema


def extracted_rows(path: str) -> Iterator[Any]:
    """Yield the rows of an extracted file, as the resource gave them; none if it holds no rows."""
    if ".typed-jsonl" in path:
        with FileStorage.open_zipsafe_ro(path, "rb") as lines:
            for line in lines:
                yield from json.typed_loadb(line)


def change_packaged_schemas(pipeline: dlt.Pipeline, change: Callable[[Schema], bool]) -> None:
    """Change the schemas that the normalized packages of a pipeline are loaded with.

    Args:
        pipeline: The pipeline.
        change: Changes a schema, and tells whether it did.
    """
    packages = normalized_packages(pipeline)
    for load_id in pipeline.list_normalized_load_packages():
        schema = packages.load_schema(load_id)
        if change(schema):
            packages.save_schema(load_id, schema)


def run_load_job(client: JobClientBase, path: str, load_id: str, table: str) -> None:
    """Load a file of a package into `table`, as dlt's loader does.

    Args:
        client: The client of the dataset, whose schema has the table.
        path: The job's file.
        load_id: The package.
        table: Where the rows go.
    """
    prepared = client.prepare_load_table(table)
    job: Any = client.create_load_job(prepared, path, load_id, restore=False)
    job.set_run_vars(load_id=load_id, schema=client.schema, load_table=prepared)
    job._job_client = client
    client.prepare_load_job_execution(job)
    job.run()


def pipeline_of_class(pipeline_class: type[OfClass], **arguments: Any) -> OfClass:
    """Return a pipeline as `dlt.pipeline` makes it, as an instance of a subclass."""
    made: OfClass = dlt.pipeline(**arguments, _impl_cls=pipeline_class)
    return made


def drop_pending(pipeline: dlt.Pipeline) -> None:
    """Drop the packages that a failed run has left, and the state that they bring."""
    if pipeline.has_pending_data:
        # so called since dlt 1.30
        drop = getattr(pipeline, "abort_packages", None) or pipeline.drop_pending_packages
        drop()


def adopt_schema(pipeline: dlt.Pipeline, schema: Schema) -> None:
    """Give a pipeline a schema that it lacks; its first one is its default."""
    with pipeline.managed_state():
        pipeline._inject_schema(schema)


def cursors_after(pipeline: dlt.Pipeline, load_ids: Sequence[str]) -> list[tuple[str, str, Any]]:
    """Return the incremental cursors as some loads have left them: table, column, last value.

    From the state that is stored with the data: the pipeline itself knows its latest alone.
    """
    schema = pipeline.default_schema
    stored = pipeline.dataset().table(schema.state_table_name)
    names = [name.lower() for name in stored.columns]
    rows = [dict(zip(names, row, strict=True)) for row in stored.fetchall()]
    until = max(map(float, load_ids))
    known = [
        row
        for row in rows
        if row["pipeline_name"] == pipeline.pipeline_name and float(row["_dlt_load_id"]) <= until
    ]
    if not known:
        return []
    state = decompress_state(max(known, key=lambda row: int(row["version"]))["state"])
    cursors = []
    for source, found in state.get("sources", {}).items():
        if source not in pipeline.schemas:
            continue
        for name, table in pipeline.schemas[source].tables.items():
            resources = found.get("resources", {})
            # a later run may have loaded the table from another resource
            of_resource = resources.get(table.get("resource")) or resources.get(name) or {}
            for path, values in of_resource.get("incremental", {}).items():
                naming = pipeline.schemas[source].naming
                parts = path.removeprefix("$.").split(".")
                column = naming.make_path(*map(naming.normalize_identifier, parts))
                if not table.get("parent") and values.get("last_value") is not None:
                    cursors.append((name, column, values["last_value"]))
    return cursors


def resources_with_state(pipeline: dlt.Pipeline) -> set[str]:
    """Return the resources with state, which may yield less the next time."""
    found = set()
    for source, state in pipeline.state.get("sources", {}).items():
        of_resources: Any = state.get("resources", {})
        found |= {name for name, values in of_resources.items() if values}
        if state.keys() - {"resources"} and source in pipeline.schemas:
            tables = pipeline.schemas[source].data_tables()
            found |= {str(table.get("resource")) for table in tables}
    return found


def as_stored_value(value: Any, column: Mapping[str, Any]) -> Any:
    """Return a value of a source as a column has it: a text with a moment as the moment."""
    wanted: Any = column.get("data_type")
    found = coerce_value(wanted, py_type_to_sc_type(type(value)), value)
    if not isinstance(found, datetime.datetime):
        return found
    # what has no zone is in UTC
    moment = found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
    is_naive = column.get("timezone") is False
    return moment.astimezone(datetime.timezone.utc).replace(tzinfo=None) if is_naive else moment


def replace_schema(pipeline: dlt.Pipeline, schema: Schema, other: Schema) -> None:
    """Replace the schema object of a pipeline by another, if it is that of its source."""
    if "_schema_storage" in vars(pipeline):
        schemas = pipeline._schema_storage.live_schemas
        schemas.update({name: other for name, one in schemas.items() if one is schema})


def stored_state(pipeline: dlt.Pipeline) -> Mapping[str, Any]:
    """Return the state of a pipeline at its destination, with which a new machine begins.

    Empty where it keeps none.
    """
    with pipeline.destination_client() as client:
        if not isinstance(client, WithStateSync):
            return {}
        return load_pipeline_state_from_destination(pipeline.pipeline_name, client) or {}
