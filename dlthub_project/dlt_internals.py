"""The only place that imports dlt's non-public modules: one small function for each need.

When dlt moves, this file and its contract tests (`tests/test_dlt_internals.py`) say so.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dlt
from dlt._workspace.providers import ProfileConfigTomlProvider, ProfileSecretsTomlProvider
from dlt.common.configuration import plugins
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.doc import BaseDocProvider as DocumentProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.common.configuration.specs.base_configuration import extract_inner_hint, is_valid_hint
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext,
    RunContextBase,
)
from dlt.common.configuration.utils import deserialize_value
from dlt.common.pipeline import PipelineContext
from dlt.common.runtime import init as runtime_init
from dlt.common.runtime.run_context import RunContext, context_uri, global_dir
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import WithSchemas
from dlt.extract.decorators import DltSourceFactoryWrapper, _maybe_load_schema_for_callable
from dlt.extract.source import _DltSingleSource

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination
    from dlt.extract.reference import AnySourceFactory

__all__ = [
    "DocumentProvider",
    "PlainRunContext",
    "active_run_context",
    "configured_value",
    "context_uri",
    "forget_references",
    "global_dir",
    "has_schema_file",
    "initialize_runtime",
    "local_database",
    "no_active_pipeline",
    "open_destination",
    "plug_new_run_context",
    "replace_schemas",
    "requested_dataset_name",
    "restore_run_context",
    "resume_contexts",
    "save_run_context",
    "set_default",
    "source_function",
    "stored_versions",
    "suspend_contexts",
    "toml_providers",
]

PlainRunContext = RunContext
"""The run context of dlt code outside of projects and workspaces."""


# context


def active_run_context() -> RunContextBase:
    """Return the active run context; dlt finds one on the first call."""
    return Container()[PluggableRunContext].context


@dataclass(frozen=True)
class SavedRunContext:
    """A run context with its providers, also those that were added by hand."""

    context: RunContextBase
    providers: ConfigProvidersContainer


def save_run_context() -> SavedRunContext | None:
    """Return what `restore_run_context` brings back; None while dlt has no context yet."""
    # asking dlt for one would find and plug that of the working directory
    if PluggableRunContext not in Container():
        return None
    pluggable = Container()[PluggableRunContext]
    return SavedRunContext(pluggable.context, pluggable.providers)


def restore_run_context(saved: SavedRunContext | None) -> None:
    """Make `saved` the active context again; None leaves dlt without one.

    `pop_context` does not serve here: it makes new providers and loses those added by hand.
    """
    if saved is None:
        if (used := _take(PluggableRunContext)) is not None:
            used.context.unplug()
        return
    pluggable = Container()[PluggableRunContext]
    if pluggable.context is saved.context and pluggable.providers is saved.providers:
        return
    pluggable.context.unplug()
    pluggable.context, pluggable.providers = saved.context, saved.providers
    pluggable.initialize_runtime()
    pluggable.context.plug()


def plug_new_run_context(run_dir: str | None, profile: str | None, required: str) -> RunContextBase:
    """Ask the plugins for a context of class `required`, then make it the active one.

    dlt's own `switch_context` unplugs the old context before it asks for a new one, and looks in
    the old one's folder when `run_dir` is None.
    """
    arguments = {"profile": profile, "_required": required}
    hook = plugins.manager().hook
    context: RunContextBase = hook.plug_run_context(run_dir=run_dir, runtime_kwargs=arguments)
    if PluggableRunContext in Container():
        Container()[PluggableRunContext].reload(context)
    else:
        Container()[PluggableRunContext] = PluggableRunContext(context)
    return context


@dataclass(frozen=True)
class SuspendedContexts:
    """What `suspend_contexts` took out of dlt's container."""

    run_context: PluggableRunContext | None
    pipeline_context: PipelineContext | None


def suspend_contexts() -> SuspendedContexts:
    """Take run context and active pipeline away, so that the next use of dlt finds new ones.

    Costs nothing when dlt is not used until `resume_contexts`.
    """
    return SuspendedContexts(_take(PluggableRunContext), _take(PipelineContext))


def resume_contexts(suspended: SuspendedContexts) -> None:
    """Put back what `suspend_contexts` took away, in place of whatever came since."""
    _take(PipelineContext)
    used = _take(PluggableRunContext)
    if used is not None:
        used.context.unplug()
    if suspended.pipeline_context is not None:
        _put(suspended.pipeline_context)
    if suspended.run_context is not None:
        _put(suspended.run_context)
        if used is not None:
            # logging and HTTP retries are global: they are the other context's until now
            suspended.run_context.initialize_runtime()


def _take(spec: type[Any]) -> Any:
    contexts, lock = Container()._thread_context(spec)
    with lock:
        taken = contexts.pop(spec, None)
        if taken is not None:
            taken.in_container = False
        return taken


def _put(context: Any) -> None:
    contexts, lock = Container()._thread_context(type(context))
    with lock:
        contexts[type(context)] = context
        context.in_container = True


def initialize_runtime(name: str, config: RuntimeConfiguration | None) -> RuntimeConfiguration:
    """Set up dlt's logging, HTTP client and telemetry, and return the configuration of them."""
    resolved = config or resolve_configuration(RuntimeConfiguration())
    runtime_init.initialize_runtime(name, resolved)
    return resolved


def toml_providers(
    settings_dir: str, profile: str, global_dir: str
) -> tuple[ConfigProvider, ConfigProvider]:
    """Return the providers of a profile's `secrets.toml` and `config.toml` files, in this order."""
    return (
        ProfileSecretsTomlProvider(settings_dir, profile, global_dir),
        ProfileConfigTomlProvider(settings_dir, profile, global_dir),
    )


def forget_references(package: str) -> None:
    """Drop the sources and destinations of `package` from dlt's registries."""
    from dlt.common.destination.reference import DestinationReference
    from dlt.extract.reference import SourceReference

    for registry in (SourceReference.SOURCES, DestinationReference.DESTINATIONS):
        for reference in [r for r in registry if r.startswith(f"{package}.")]:
            del registry[reference]


# sources


def configured_value(key: str, hint: Any, *sections: str) -> Any:
    """Return a configured value as `hint` has it, or None; looked up in `sections` alone.

    A type that dlt's configuration does not know leaves the value as it is written.

    Raises:
        ConfigValueCannotBeCoercedException: It cannot be cast.
    """
    value: Any = dlt.config.get(".".join((*sections, key)))
    if value is None or not is_valid_hint(hint):
        return value
    return deserialize_value(key, value, extract_inner_hint(hint, preserve_literal=True))


def source_function(factory: AnySourceFactory) -> Callable[..., Any]:
    """Return the function that is called for a source; if it is a resource, that of the resource.

    dlt wraps a resource that serves as a source in a function that takes anything.
    """
    function: Callable[..., Any] = inspect.unwrap(factory)
    if isinstance(factory, DltSourceFactoryWrapper) and issubclass(
        factory._impl_cls, _DltSingleSource
    ):
        resource = operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
        function = inspect.unwrap(resource._pipe.gen)
    return function


def has_schema_file(factory: AnySourceFactory) -> bool:
    """Tell whether a schema lies as a file beside the code of a source, under its own name."""
    found = _maybe_load_schema_for_callable(inspect.unwrap(factory), factory.ref.name)
    return found is not None


# datasets


def open_destination(
    destination: AnyDestination, dataset_name: str, schema_name: str
) -> JobClientBase:
    """Return a client of the dataset at `destination`; enter it to connect."""
    from dlt.dataset.utils import get_destination_clients

    return get_destination_clients(
        schema=Schema(schema_name),
        destination=destination,
        destination_dataset_name=dataset_name,
    )[0]


def local_database(client: JobClientBase) -> str | None:
    """Return the path of the database file of an embedded destination, or None."""
    from dlt.destinations.impl.duckdb.configuration import DuckDbBaseCredentials

    credentials = getattr(client.config, "credentials", None)
    if not isinstance(credentials, DuckDbBaseCredentials):
        return None
    database = getattr(credentials, "database", None)
    return None if not database or database.startswith((":", "md:")) else str(database)


def stored_versions(client: JobClientBase) -> list[tuple[str, str]]:
    """Return name and hash of every stored schema version, the oldest first.

    Where there is no SQL to ask with, the name is empty: it stands for the one stored last.
    """
    from dlt.destinations.sql_client import WithSqlClient

    if not isinstance(client, WithSqlClient) or not isinstance(client, SqlJobClientBase):
        return [("", "")]
    normalize = client.schema.naming.normalize_identifier
    sql = client.sql_client
    name, hash_, time = (
        sql.escape_column_name(normalize(column))
        for column in ("schema_name", "version_hash", "inserted_at")
    )
    table = sql.make_qualified_table_name(client.schema.version_table_name)
    rows = sql.execute_sql(f"SELECT {name}, {hash_} FROM {table} ORDER BY {time}")
    return [(row[0], row[1]) for row in rows or ()]


def replace_schemas(dataset: dlt.Dataset, schemas: Sequence[Schema]) -> None:
    """Give a dataset other schemas, in place; a connection that it holds stays open."""
    opened = dataset._opened_sql_client
    dlt.Dataset.__init__(dataset, dataset._destination, dataset.dataset_name, schema=list(schemas))
    dataset._opened_sql_client = opened
    if isinstance(opened, WithSchemas):
        opened.set_schemas(dataset.schemas)


# pipelines


def requested_dataset_name(pipeline: dlt.Pipeline) -> str:
    """Return the name that a pipeline's dataset was given, without the suffix of `dev_mode`."""
    return pipeline.dataset_name.removesuffix(pipeline._pipeline_instance_id)


def set_default(key: str, value: Any, pipeline_name: str, *sections: str) -> None:
    """Set a value for one pipeline in the lowest provider, so that all others override it."""
    lowest = Container()[PluggableRunContext].providers.providers[-1]
    lowest.set_value(key, value, pipeline_name, *sections)


@contextmanager
def no_active_pipeline() -> Iterator[None]:
    """Run a block without an active pipeline; the one that was active comes back."""
    earlier = _take(PipelineContext)
    try:
        yield
    finally:
        _take(PipelineContext)
        if earlier is not None:
            _put(earlier)
