"""How dlt looks values up: in which sections, for which pipeline, and with which defaults."""

from __future__ import annotations

import copy
import functools
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, get_origin

import dlt
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    LookupTrace,
    flatten_traces,
)
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.doc import BaseDocProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.providers.toml import SettingsTomlProvider
from dlt.common.configuration.providers.vault import VaultDocProvider
from dlt.common.configuration.resolve import _build_section_lookup_paths
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.base_configuration import (
    extract_inner_hint,
    is_base_configuration_inner_hint,
    is_valid_hint,
)
from dlt.common.configuration.specs.base_configuration import (
    is_secret_hint as is_secret_hint,
)
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import (
    ResolvedValueTrace,
    TraceLogContext,
    deserialize_value,
    get_resolved_traces,
    log_traces,
)
from dlt.common.pipeline import PipelineContext

from dlthub_project.secrets import KNOWN, PUBLIC_FIELDS

STEP_SECTIONS = ("normalize", "load", "schema")
"""Those that dlt looks a value up in, and then without."""

CONFIGURATION_SECTIONS = ("runtime", "extract", "data_writer", "providers", "credentials")
"""Those that belong to a value wherever dlt looks it up."""


_SCALARS = (str, bytes, int, float, Decimal, date, time, list, tuple, set)


class DocumentProvider(BaseDocProvider):
    """dlt's provider of values that stand in one nested mapping."""

    @property
    def document(self) -> dict[str, Any]:
        """The mapping itself."""
        document: dict[str, Any] = self._config_doc
        return document

    @property
    def answers_alone(self) -> bool:
        """Whether no provider below may answer for what is looked up at present."""
        return False

    def without_unset(self, value: Any) -> Any:
        """Return the value of a provider below, without the parts that are unset here."""
        return value


def look_up_sections(
    sections: Sequence[str], configuration_section: str | None = None
) -> list[tuple[str, ...]]:
    """Return the sections that dlt looks a value up in, the most specific ones first.

    Args:
        sections: The most specific ones, without the one of its configuration.
        configuration_section: The section that a value keeps wherever it is looked up, such as
            `credentials`.
    """
    return _build_section_lookup_paths(tuple(sections), (), configuration_section or "", True)


def active_pipeline_name() -> str | None:
    """Return the pipeline whose section dlt searches first, or None."""
    if injected := Container()[ConfigSectionContext].pipeline_name:
        return injected
    pipelines = Container()[PipelineContext]
    return pipelines.pipeline().pipeline_name if pipelines.is_active() else None


def hint_for_providers(hint: Any) -> Any:
    """Return the type of a value as dlt's providers can be asked for it.

    On Python 3.10, dlt fails to tell whether `tuple[str, ...]` or `Callable[[], int]` is a secret:
    `TypeError: issubclass() arg 1 must be a class`.
    """
    try:
        is_secret_hint(hint)
    except TypeError:
        return Any
    return hint


def cast_value(key: str, value: Any, hint: Any) -> Any:
    """Return a configured value as `hint` has it.

    A type that dlt's configuration does not know leaves the value as it is written.

    Raises:
        ConfigValueCannotBeCoercedException: It cannot be cast.
    """
    if value is None or not is_valid_hint(hint):
        return value
    return deserialize_value(key, value, extract_inner_hint(hint, preserve_literal=True))


def configured_documents() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the documents of the active context's providers. The environment has none."""
    if PluggableRunContext in Container():
        for provider in Container()[PluggableRunContext].providers.providers:
            if isinstance(provider, BaseDocProvider):
                yield provider.name, provider._config_doc


def document_of(provider: ConfigProvider) -> dict[str, Any] | None:
    """Return the mapping in which a provider has its values, or None if it has them elsewhere."""
    return provider._config_doc if isinstance(provider, BaseDocProvider) else None


def set_document(provider: ConfigProvider, document: dict[str, Any]) -> None:
    """Have a provider answer from another mapping."""
    assert isinstance(provider, BaseDocProvider)
    provider._config_doc = document


def set_since(initial: ConfigProvider, provider: ConfigProvider) -> Iterator[tuple[str, ...]]:
    """Yield the paths of values that code has set in a provider; it began as `initial`."""
    yield from _changed(document_of(initial) or {}, document_of(provider) or {})


def _changed(
    before: Mapping[str, Any], now: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    for key, value in now.items():
        earlier = before.get(key)
        if isinstance(value, Mapping) and (isinstance(earlier, Mapping) or earlier is None):
            yield from _changed(earlier or {}, value, (*path, key))
        elif key not in before or value != earlier:
            yield (*path, key)


def is_vault(provider: ConfigProvider) -> bool:
    """Tell whether dlt itself has added a provider to those that a context begins with."""
    return isinstance(provider, VaultDocProvider)


def providers_with_documents() -> list[type]:
    """Return dlt's classes of providers that set values in a mapping, each in its own way."""
    return [BaseDocProvider, SettingsTomlProvider]


def copy_documents(documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Have providers of the active context answer as those of another context, set by code.

    Args:
        documents: The documents of those providers, by name. Providers that code cannot write to
            are left alone.
    """
    for provider in Container()[PluggableRunContext].providers.providers:
        if isinstance(provider, BaseDocProvider) and provider.is_writable:
            provider._config_doc = copy.deepcopy(dict(documents.get(provider.name, {})))


def add_missing_providers(providers: Iterable[ConfigProvider]) -> None:
    """Add to the active context the providers whose names it lacks.

    Args:
        providers: The providers of another context, to which code has added some.
    """
    container = Container()[PluggableRunContext].providers
    known = {provider.name for provider in container.providers}
    for provider in providers:
        if provider.name not in known:
            container.add_provider(provider)


def note_look_up(key: str, hint: Any, value: Any, provider: str, sections: Sequence[str]) -> None:
    """Add a value that was looked up without dlt to the trace of the next run."""
    log_traces(None, key, hint, value, None, [LookupTrace(provider, list(sections), key, value)])


secret_listeners: list[Callable[[tuple[str, ...]], None]] = []
"""Called with the path of each value that dlt looks up as a secret, once they are registered."""


def register_secrets() -> None:
    """Learn every secret that dlt has looked up, or will look up, in this process.

    dlt notes each value that it has looked up, with its hint, in one place, even those of
    `dlt.secrets[...]`. It does not look up values that code gives, such as the URL of a
    destination: they are learned when their configuration is resolved.
    """
    note, resolve = TraceLogContext.log, BaseConfiguration.resolve
    if note.__module__ == __name__:
        return

    @functools.wraps(note)
    def log(self: TraceLogContext, trace: ResolvedValueTrace) -> None:
        if trace.value is not None:
            is_secret = is_secret_hint(trace.hint)
            KNOWN.learn_look_up(trace.key, trace.value, is_secret)
            if is_secret:
                for listener in secret_listeners:
                    listener((*trace.sections, trace.key))
        note(self, trace)

    @functools.wraps(resolve)
    def resolved(self: BaseConfiguration) -> Any:
        for name in _secret_fields(type(self)):
            value = getattr(self, name, None)
            if value is not None and not isinstance(value, BaseConfiguration):
                KNOWN.learn_look_up(name, value, True)
        return resolve(self)

    log.__module__ = resolved.__module__ = __name__
    TraceLogContext.log = log  # type: ignore[method-assign]  # does as dlt's, and learns
    BaseConfiguration.resolve = resolved  # type: ignore[method-assign]  # as above
    for key, value, is_secret, _ in looked_up_values():
        KNOWN.learn_look_up(key, value, is_secret)


@functools.lru_cache(maxsize=1_000)
def _secret_fields(spec: type[BaseConfiguration]) -> tuple[str, ...]:
    return tuple(
        name for name, hint in spec.get_resolvable_fields().items() if is_secret_hint(hint)
    )


def may_be_mapping(hint: Any) -> bool:
    """Tell whether dlt takes a value of type `hint` as one mapping, from one place.

    It looks up each value of a configuration or of credentials by itself.
    """
    inner = extract_inner_hint(hint)
    if is_base_configuration_inner_hint(inner):
        return False
    # to Python 3.10, `list[str]` is a type
    is_class = isinstance(inner, type) and get_origin(inner) is None
    return not (is_class and issubclass(inner, _SCALARS))


def was_looked_up_as_secret(path: Sequence[str]) -> bool:
    """Tell whether dlt has looked for the value at `path` as a secret, in this process."""
    *sections, key = path
    return any(
        look_up.key == key
        and is_secret_hint(look_up.hint)
        and (not sections or sections[-1] in look_up.sections)
        for look_up in get_resolved_traces().all_traces
    )


@dataclass(frozen=True)
class MissingSetting:
    """A setting that dlt did not find.

    Attributes:
        path: One of the places that dlt looks at, if possible one with two sections.
        is_secret: Whether it is a secret.
        is_argument: Whether it is an argument of code, which did not ask for it by name.
        places: All places that dlt looks at.
        variables: The environment variables that dlt looks at.
    """

    path: tuple[str, ...]
    is_secret: bool
    is_argument: bool = True
    places: tuple[tuple[str, ...], ...] = ()
    variables: tuple[str, ...] = ()


def missing_settings(error: ConfigFieldMissingException) -> list[MissingSetting]:
    """Return the settings that dlt did not find."""
    hints = error.config.get_resolvable_fields()
    found: dict[tuple[str, ...], MissingSetting] = {}
    for name, nested in error.traces.items():
        looked_up: dict[str, list[LookupTrace]] = {}
        for trace in flatten_traces(nested):
            if trace.provider == EnvironProvider().name:
                looked_up.setdefault(trace.key.rpartition("__")[2], []).append(trace)
        hint = hints.get(name)
        for key, of_key in looked_up.items():
            # there is no hint: code has asked for the setting by its name
            is_secret = _asks_for_secrets(error) if hint is None else _is_secret_part(key, hint)
            places = [(*trace.sections, key.lower()) for trace in of_key]
            nearest = min(places, key=_distance)
            variables = tuple(trace.key for trace in of_key)
            found[nearest] = MissingSetting(
                nearest, is_secret, hint is not None, tuple(places), variables
            )
    return list(found.values())


def _asks_for_secrets(error: ConfigFieldMissingException) -> bool:
    """Tell whether a value was asked for by `dlt.secrets[...]`, and not by `dlt.config[...]`.

    Both traces may name the same providers: they name only those that are not empty.
    """
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return not any(frame.f_locals.get("self") is dlt.config for frame in frames)


def _is_secret_part(key: str, hint: Any) -> bool:
    """Tell whether a value of type `hint`, or its part `key`, is a secret.

    Credentials have parts that are secrets, and others.

    Args:
        key: The name of the value or part, in upper case as environment variables have it.
        hint: The type of the value.
    """
    inner = extract_inner_hint(hint)
    if is_base_configuration_inner_hint(inner):
        fields = {name.upper(): one for name, one in inner.get_resolvable_fields().items()}
        if key in fields:
            return is_secret_hint(fields[key])
    return is_secret_hint(hint) and key.lower() not in PUBLIC_FIELDS


def _distance(place: tuple[str, ...]) -> int:
    *sections, _ = place
    # all sources below one section share their credentials
    return abs(len([section for section in sections if section != "credentials"]) - 2)


def default_of(path: Sequence[str]) -> Any:
    """Return the default that dlt itself has for the value at `path`, or None."""
    *sections, key = path
    spec = _specs().get(sections[0] if sections[:1] == ["pipelines"] else ".".join(sections[-1:]))
    default = getattr(spec, key, None) if spec and key in spec.get_resolvable_fields() else None
    return None if isinstance(default, BaseConfiguration) or callable(default) else default


def _specs() -> Mapping[str, type[BaseConfiguration]]:
    # imported here: seldom needed, and slow to import
    from dlt.common.configuration.specs import RuntimeConfiguration
    from dlt.common.data_writers.buffered import BufferedDataWriter
    from dlt.extract.pipe_iterator import PipeIterator
    from dlt.load.configuration import LoaderConfiguration
    from dlt.normalize.configuration import NormalizeConfiguration
    from dlt.pipeline.configuration import PipelineConfiguration

    return {
        "runtime": RuntimeConfiguration,
        "extract": PipeIterator.PipeIteratorConfiguration,
        "data_writer": BufferedDataWriter.BufferedDataWriterConfiguration,
        "normalize": NormalizeConfiguration,
        "load": LoaderConfiguration,
        "pipelines": PipelineConfiguration,
    }


def looked_up_values() -> Iterator[tuple[str, Any, bool, str]]:
    """Yield what dlt has looked up for the step that ends: key, value, is secret, provider."""
    for look_up in list(get_resolved_traces().resolved_traces):
        yield look_up.key, look_up.value, is_secret_hint(look_up.hint), look_up.provider_name


def folders_of_schemas(pipeline: Any) -> Any:
    """Return the folders that a pipeline imports schemas from and exports them to.

    If code gives none, a variable or a TOML file may. A pipeline keeps what is set there.
    """
    return pipeline._schema_storage.config
