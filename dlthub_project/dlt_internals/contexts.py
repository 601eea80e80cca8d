"""dlt's run context, its providers and the active pipeline."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlt._workspace._plugins import plug_workspace_context_impl
from dlt._workspace._workspace_context import WorkspaceRunContext as WorkspaceRunContext
from dlt._workspace.providers import ProfileConfigTomlProvider, ProfileSecretsTomlProvider
from dlt.common.configuration import plugins
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import (
    CustomLoaderDocProvider,
    EnvironProvider,
    SettingsTomlProvider,
)
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.providers.toml import TomlProviderReadException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.common.configuration.specs.base_configuration import is_secret_hint
from dlt.common.configuration.specs.config_providers_context import (
    ConfigProvidersContainer as ConfigProvidersContainer,
)
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext as PluggableRunContext,
)
from dlt.common.configuration.specs.pluggable_run_context import (
    RunContextBase,
)
from dlt.common.configuration.utils import TraceLogContext
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.pipeline import PipelineContext
from dlt.common.runtime import anon_tracker, signals
from dlt.common.runtime import init as runtime_init
from dlt.common.runtime import run_context as dlt_run_context
from dlt.common.runtime.run_context import RunContext

from dlthub_project.secrets import KNOWN

# the name of our entry point in the group `dlt`
_OURS = "dlthub_project"

PlainRunContext = RunContext
"""The run context of dlt code outside of projects and workspaces."""

context_uri = dlt_run_context.context_uri
"""Returns the URI that dlt gives a run context of a name, folder and profile."""

global_folder = dlt_run_context.global_dir
"""Returns dlt's global folder: `/var/dlt` of root, else `~/.dlt`."""


def find_workspace(folder: Path, profile: str | None) -> WorkspaceRunContext | None:
    """Return dlt's own run context of the workspace in `folder`, or None if it is none."""
    context = plug_workspace_context_impl(str(folder), {"profile": profile})
    return context if isinstance(context, WorkspaceRunContext) else None


def has_run_context() -> bool:
    """Tell whether dlt has a run context yet, without making one."""
    return PluggableRunContext in Container()


def active_run_context() -> RunContextBase:
    """Return the active run context; dlt finds one on the first call."""
    return Container()[PluggableRunContext].context


@dataclass(frozen=True)
class SavedRunContext:
    """A run context with its providers, those that were added by hand included."""

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

    dlt's `pop_context` makes new providers, and so loses those that were added by hand.
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


@contextmanager
def initial_providers_alone() -> Iterator[None]:
    """Look up, in a block, what files and variables say, and nothing that code has set."""
    pluggable = Container()[PluggableRunContext]
    providers = pluggable.providers
    pluggable.providers = ConfigProvidersContainer(pluggable.context.initial_providers())
    try:
        yield
    finally:
        pluggable.providers = providers


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


def context_of_other_plugins(run_dir: str, arguments: Mapping[str, Any]) -> RunContextBase | None:
    """Return the run context that other plugins than ours have for a folder, or None.

    Args:
        run_dir: The folder.
        arguments: As dlt hands them to plugins.
    """
    manager = plugins.manager()
    others = manager.subset_hook_caller("plug_run_context", [manager.get_plugin(_OURS)])
    context: RunContextBase | None = others(run_dir=run_dir, runtime_kwargs=dict(arguments))
    return context


@dataclass(frozen=True)
class SuspendedContexts:
    """What `suspend_contexts` took out of dlt's container."""

    run_context: PluggableRunContext | None
    pipeline_context: PipelineContext | None
    registries: tuple[dict[str, Any], dict[str, Any]] | None
    # an active pipeline leaves its destination's capabilities there, for the sources that are made
    capabilities: DestinationCapabilitiesContext | None = None
    # the look-ups since the last trace, which the next trace holds
    look_ups: TraceLogContext | None = None


def suspend_contexts() -> SuspendedContexts:
    """Take run context and active pipeline away, so that the next use of dlt finds new ones.

    Costs nothing when dlt is not used until `resume_contexts`. The registries of sources and
    destinations stay, and are remembered.
    """
    sources, destinations = _registries()
    registries = dict(sources), dict(destinations)
    return SuspendedContexts(
        _take(PluggableRunContext),
        _take(PipelineContext),
        registries,
        _take(DestinationCapabilitiesContext),
        _take(TraceLogContext),
    )


def take_run_context() -> tuple[list[ConfigProvider], list[ConfigProvider]] | None:
    """Take the run context away for good: the next use of dlt finds a new one.

    Returns:
        Its providers, and those that it began with, as no code has changed them; None where there
        is no context yet.
    """
    used = _take(PluggableRunContext)
    if used is None:
        return None
    used.context.unplug()
    return used.providers.providers, used.context.initial_providers()


def resume_contexts(suspended: SuspendedContexts) -> None:
    """Put back what `suspend_contexts` took away, in place of whatever came since."""
    _take(PipelineContext)
    _take(DestinationCapabilitiesContext)
    _take(TraceLogContext)
    used = _take(PluggableRunContext)
    if used is not None:
        used.context.unplug()
    for registry, before in zip(_registries(), suspended.registries or (), strict=False):
        for reference in [r for r in registry if r not in before]:
            del registry[reference]
        registry.update(before)
    if suspended.pipeline_context is not None:
        _put(suspended.pipeline_context)
    if suspended.capabilities is not None:
        _put(suspended.capabilities)
    if suspended.look_ups is not None:
        _put(suspended.look_ups)
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


def is_setting_up_context() -> bool:
    """Tell whether dlt is still adding the active run context, and has not added all providers."""
    return not Container()[PluggableRunContext].extras_added


def initialize_runtime(name: str, config: RuntimeConfiguration | None) -> RuntimeConfiguration:
    """Set up dlt's logging, HTTP client and telemetry, and return the configuration of them."""
    resolved = config or resolve_configuration(RuntimeConfiguration())
    runtime_init.initialize_runtime(name, resolved)
    for handler in logging.getLogger(name).handlers:
        if "format" not in vars(handler):
            # masks what is written, and not the record itself, which a test may look at
            setattr(handler, "format", _masking(handler.format))  # noqa: B010  # of this one alone
    return resolved


def suspend_telemetry() -> Callable[[], None]:
    """Have dlt's telemetry send nothing until the function that is returned is called.

    It is started once in a process: no setting ends what code has started before.
    """
    endpoint = anon_tracker._ANON_TRACKER_ENDPOINT
    setattr(anon_tracker, "_ANON_TRACKER_ENDPOINT", None)  # noqa: B010  # dlt types it as text
    return lambda: setattr(anon_tracker, "_ANON_TRACKER_ENDPOINT", endpoint)


def _masking(tell: Callable[[logging.LogRecord], str]) -> Callable[[logging.LogRecord], str]:
    return lambda record: KNOWN.masked(tell(record))


def toml_providers(
    settings_dir: str, profile: str, global_dir: str
) -> tuple[ConfigProvider, ConfigProvider]:
    """Return the providers of a profile's `secrets.toml` and `config.toml` files, in this order."""
    return (
        ProfileSecretsTomlProvider(settings_dir, profile, global_dir),
        ProfileConfigTomlProvider(settings_dir, profile, global_dir),
    )


_VAULTS = ("enable_airflow_secrets", "enable_aws_secrets", "enable_google_secrets")


def narrow_secrets(providers: list[ConfigProvider], settings_dir: str, secrets: str) -> None:
    """Remove secrets from a list of providers.

    Args:
        providers: The list, which is changed.
        settings_dir: The folder of its TOML files.
        secrets: The name of the one file that has secrets, beside the environment; `none` for
            neither of the two; `all` to leave the list as it is.
    """
    if secrets == "all":
        return
    for index, provider in enumerate(providers):
        if isinstance(provider, EnvironProvider):
            _narrow_environment(provider, hides_secrets=secrets == "none")
        elif isinstance(provider, SettingsTomlProvider) and provider.supports_secrets:
            file = Path(settings_dir, secrets)
            if file.is_file():
                # in no other folder: dlt's global one has secrets of the developer
                providers[index] = SettingsTomlProvider(secrets, True, secrets, [settings_dir])
            else:
                providers[index] = CustomLoaderDocProvider(secrets, dict, locations=[str(file)])


def hidden_by_narrowing(
    places: Iterable[tuple[str, ...]],
    variables: Iterable[str],
    settings_dir: str,
    secrets: str,
    files: Iterable[str],
) -> str | None:
    """Return where a setting stands that `narrow_secrets` hides, or None.

    Args:
        places: Where dlt looks for it in TOML files.
        variables: The environment variables that dlt looks at.
        settings_dir: As for `narrow_secrets`.
        secrets: As for `narrow_secrets`.
        files: The names of the files of secrets that there may be.
    """
    if secrets == "none":
        for variable in variables:
            if variable in os.environ:
                return f"the environment ({variable})"
    for name in files:
        if secrets in ("all", name) or not Path(settings_dir, name).is_file():
            continue
        try:
            provider = SettingsTomlProvider(name, True, name, [settings_dir])
        except TomlProviderReadException:
            # an error about a missing setting is enough: nobody needs this file
            continue
        for *sections, key in places:
            if provider.get_value(key, Any, "", *sections)[0] is not None:
                return f"{Path(settings_dir).name}/{name}"
    return None


def _narrow_environment(provider: EnvironProvider, *, hides_secrets: bool) -> None:
    original = provider.get_value

    def get_value(
        key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        if key in _VAULTS:
            return "false", key
        if hides_secrets and is_secret_hint(hint):
            return None, provider.get_key_name(key, *sections)
        return original(key, hint, pipeline_name or "", *sections)

    # set on this provider only, because its class is dlt's
    provider.get_value = get_value  # type: ignore[method-assign]


def _registries() -> tuple[dict[str, Any], dict[str, Any]]:
    from dlt.common.destination.reference import DestinationReference
    from dlt.extract.reference import SourceReference

    return SourceReference.SOURCES, DestinationReference.DESTINATIONS


def forget_references(package: str) -> None:
    """Drop the sources and destinations of `package` from dlt's registries."""
    for registry in _registries():
        for reference in [r for r in registry if r.startswith(f"{package}.")]:
            del registry[reference]


@contextmanager
def no_active_pipeline() -> Iterator[None]:
    """Run a block without an active pipeline; the one that was active comes back."""
    specs = (PipelineContext, DestinationCapabilitiesContext)
    earlier = [_take(spec) for spec in specs]
    try:
        yield
    finally:
        for spec, context in zip(specs, earlier, strict=True):
            _take(spec)
            if context is not None:
                _put(context)


@contextmanager
def signals_collected() -> Iterator[Callable[[], bool]]:
    """Collect Ctrl-C and SIGTERM in a block of the main thread; a second one has its usual effect.

    Pipelines that run in this process meanwhile stop at their next safe point.

    Yields:
        What tells whether there was a signal.
    """
    with signals.intercepted_signals():
        yield signals.was_signal_received
