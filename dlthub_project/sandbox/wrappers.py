"""What happens in a sandbox when code uses a pipeline or a destination.

Each function is called in the place of one of dlt's, as `patches` lists them: with the sandbox,
with dlt's own function, and with what that was called with.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import dlt
from dlt.common.destination import Destination

from dlthub_project.dlt_internals import clients as dlt_clients
from dlthub_project.dlt_internals import destinations as dlt_destinations
from dlthub_project.dlt_internals import http_client, sql_clients
from dlthub_project.sandbox import (
    clients,
    destinations,
    extract_and_normalize,
    guard,
    lasting_data,
    lasting_sources,
    local_files,
    own_connections,
    own_statements,
    pipelines,
    production,
    report_notes,
    runs,
    speed,
    watching,
)
from dlthub_project.sandbox.settings import Sandbox, has_ended, lasting_sandboxes

_Original = Callable[..., Any]
_OBTAINED_IN = "_dlthub_obtained_in"


def from_reference(
    sandbox: Sandbox, original: _Original, cls: Any, *args: Any, **kwargs: Any
) -> Any:
    """Return what stands for a destination, in whatever way code refers to it."""
    found = original(cls, *args, **kwargs)
    return found if found is None else destinations.in_sandbox(found, sandbox)


def client(
    sandbox: Sandbox, original: _Original, destination: Any, *args: Any, **kwargs: Any
) -> Any:
    """Open what stands for a destination, if it is local or allowed."""
    __tracebackhide__ = True
    here = destinations.in_sandbox(destination, sandbox)
    # made in a sandbox around this one, it is local there
    made_in = destinations.sandbox_of(here, sandbox)
    sandboxes = (sandbox, made_in)
    guard.check(here, *sandboxes)
    given = signature(original).bind(here, *args, **kwargs).arguments
    arguments = {"schema": given["schema"], **dlt_clients.fresh(given)}
    with clients.being_made():
        opened = original(here, *args, **kwargs)
    # its driver may have been imported for it
    own_connections.lead_into_sandboxes()
    guard.check_resolved(here, opened, given.get("initial_config"), *sandboxes)
    local_files.make_folders(here, opened.config, *sandboxes)
    lasting_data.save_in_memory_once(opened.config, sandbox)
    clients.remember(opened, destination, arguments, made_in)
    if guard.is_allowed(here, sandbox) and here.destination_name not in made_in.owned:
        lasting_data.remember_remote(opened, here, sandbox)
    return opened


def configuration(
    sandbox: Sandbox, original: _Original, destination: Any, *args: Any, **kwargs: Any
) -> Any:
    """Resolve a configuration, with files from elsewhere in the sandbox."""
    resolved = original(destination, *args, **kwargs)
    production.replace_as_it_can(destination, resolved, sandbox)
    made_in = destinations.sandbox_of(destination, sandbox)
    return local_files.bring_in(destination, resolved, made_in, sandbox)


def connection(
    sandbox: Sandbox, original: _Original, client: Any, *args: Any, **kwargs: Any
) -> Any:
    """Open a connection in this sandbox, whichever one the client was made in."""
    __tracebackhide__ = True
    clients.bring_into(client, sandbox)
    opened = original(client, *args, **kwargs)
    if original.__name__ == "execute_query":
        return watching.answered(opened, client, args[0] if args else kwargs.get("query"))
    sql_clients.each_connection(client, own_statements.mark_as_of_dlt)
    return opened


def token(sandbox: Sandbox, original: _Original, auth: Any, request: Any) -> Any:
    """Authenticate a request with a token that no test that has ended has obtained."""
    __tracebackhide__ = True
    obtained_in: Sandbox | None = vars(auth).get(_OBTAINED_IN)
    if obtained_in and obtained_in.folder != sandbox.folder and has_ended(obtained_in):
        http_client.forget_token(auth)
    before = http_client.token_of(auth)
    authenticated = original(auth, request)
    if http_client.token_of(auth) != before:
        vars(auth)[_OBTAINED_IN] = sandbox
    return authenticated


def statement(
    sandbox: Sandbox, original: _Original, client: Any, query: Any, *args: Any, **kwargs: Any
) -> Any:
    """Execute SQL that writes into no file outside of the sandbox."""
    __tracebackhide__ = True
    clients.bring_into(client, sandbox)
    # SQLAlchemy's `text` has it, too
    text = query if isinstance(query, str) else getattr(query, "text", None)
    if isinstance(text, str):
        guard.check_statement(text, (*args, *kwargs.values()), *lasting_sandboxes())
    return watching.answered(original(client, query, *args, **kwargs), client, query)


def path_of_file(sandbox: Sandbox, original: _Original, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the path that a file is loaded to, in the sandbox."""
    path = original(job, *args, **kwargs)
    if dlt_destinations.is_local_job(job):
        guard.check_path(str(path), *lasting_sandboxes())
    return path


def capabilities(
    _sandbox: Sandbox, original: _Original, destination: Any, config: Any = None, naming: Any = None
) -> Any:
    """Tell what a destination can do."""
    config = speed.configuration_for_capabilities(destination, config)
    return original(destination, config, naming)


def init_pipeline(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> None:
    """Make a pipeline whose folders are in the sandbox."""
    pipelines.check_is_there(sandbox)
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    # first: what it reads of itself is not to be reset
    pipelines.remember_origin(pipeline, sandbox, given)
    pipelines.keep_files_in(sandbox, given)
    original(**given)
    pipelines.keep_schemas_in(sandbox, pipeline)
    # its folder is there now
    pipelines.check_is_there(sandbox)


def instance_id(sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline) -> str:
    """Return what `dev_mode` adds to the name of a dataset: in one sandbox never the same."""
    return pipelines.unused_instance_id(original(pipeline), sandbox)


def set_destinations(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Load straight into what knows no staging area, such as DuckDB."""
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    target, staging = given.get("destination") or pipeline.destination, given.get("staging")
    if staging is not None and target is not None:
        here = Destination.from_reference(target)
        if here is not None and not here.capabilities().supported_staging_file_formats:
            name = given.get("staging_name") or Destination.to_name(staging)
            is_made = isinstance(staging, Destination)
            change = destinations.change_of(staging) if is_made else None
            report_notes.note_dropped_staging(change, name, sandbox.folder)
            production.remember_staging(pipeline, staging)
            given.update(staging=None, staging_name=None)
    return original(**given)


def bring_along(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Use a pipeline in this sandbox, whichever one made it."""
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    return original(pipeline, *args, **kwargs)


def dataset(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Return the dataset of a pipeline; it goes where the pipeline goes."""
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    made = original(pipeline, *args, **kwargs)
    pipelines.remember_pipeline(made, pipeline)
    return made


def ibis(
    sandbox: Sandbox, original: _Original, dataset: dlt.Dataset, *args: Any, **kwargs: Any
) -> Any:
    """Return a backend of ibis, which ends with the test."""
    backend = original(dataset, *args, **kwargs)
    clients.remember_open(backend, sandbox)
    if watching.watcher is not None:
        watching.watcher.connection_taken(dataset.dataset_name, "")
    return backend


def extract(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Extract for what stands in the place of the destination."""
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    production.check_file_format(pipeline, given.get("loader_file_format"))
    own = {name: value for name, value in given.items() if value is not pipeline}
    with (
        lasting_sources.noted(given.get("data"), given.get("schema"), sandbox),
        runs.observed(pipeline, "extract", sandbox.folder),
        extract_and_normalize.through_seam(pipeline, own, sandbox) as arguments,
    ):
        return extract_and_normalize.extract(sandbox, original, pipeline, **arguments)


def normalize(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Normalize for what stands in the place of the destination."""
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    with (
        lasting_sources.noted_schemas(sandbox),
        runs.losses_warned_of(pipeline),
        runs.observed(pipeline, "normalize", sandbox.folder),
    ):
        return extract_and_normalize.normalize(sandbox, original, pipeline, *args, **kwargs)


def run(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Run or load, and tell the observers."""
    __tracebackhide__ = True
    # first, or another sandbox's database would be opened
    pipelines.bring_into(pipeline, sandbox)
    name = original.__name__
    # observers are told when nothing of what makes it cheaper is left, such as a connection
    with runs.observed(pipeline, name, sandbox.folder) as done, _prepared(sandbox, pipeline):
        info = original(pipeline, *args, **kwargs)
        done(info)
    return info


def run_outside(
    sandbox: Sandbox | None,
    original: _Original,
    pipeline: dlt.Pipeline,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Run or load outside of a sandbox, and tell the observers."""
    __tracebackhide__ = True
    if sandbox is not None:
        return original(pipeline, *args, **kwargs)
    with runs.observed_outside(pipeline, original.__name__) as done:
        info = original(pipeline, *args, **kwargs)
        done(info)
    return info


def _prepared(sandbox: Sandbox, pipeline: dlt.Pipeline) -> AbstractContextManager[None]:
    """Make a run cheaper; not where it is about to be blocked."""
    if pipeline.destination is None:
        return nullcontext()
    here = destinations.in_sandbox(pipeline.destination, sandbox)
    if not guard.passes(here, sandbox, destinations.sandbox_of(here, sandbox)):
        return nullcontext()
    return speed.prepared_run(pipeline)


def wait_of_attempt(_sandbox: Sandbox, original: _Original, wait: Any, state: Any) -> float:
    """Wait for nothing between attempts of an HTTP request; other attempts wait as they do."""
    if http_client.is_attempt_of_session(state):
        return 0.0
    seconds: float = original(wait, state)
    return seconds
