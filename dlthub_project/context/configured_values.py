"""Looks values up as dlt does in all layers: environment, TOML files, vaults and manifest."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.context.providers import ManifestProvider, configuration_path
from dlthub_project.dlt_internals import configuration, destinations
from dlthub_project.dlt_internals.configuration import DocumentProvider


@dataclass(frozen=True)
class LookUp:
    """The question for one value.

    Attributes:
        key: The last part of its path.
        sections: The sections to look in, the most specific ones first.
        pipeline: The pipeline whose own section is searched first in all layers; None for no
            pipeline.
    """

    key: str
    sections: tuple[tuple[str, ...], ...]
    pipeline: str | None = None


@dataclass(frozen=True)
class Found:
    """A value in one layer.

    Attributes:
        provider: The layer.
        path: Where the layer has the value.
        key: The layer's own name for the path, such as that of an environment variable.
        value: The value. The manifest gives its variables as they are written.
    """

    provider: ConfigProvider
    path: tuple[str, ...]
    key: str
    # not shown: it may be a secret
    value: Any


def source_argument(source: str, key: str, hint: Any) -> Any:
    """Return the configured value of a source's argument that has no default, or None.

    dlt does not look such an argument up. This looks it up as one with a default, but only in
    sections: a value without a section that happens to have its name is not meant for it.

    Raises:
        ManifestError: The value uses environment variables that are not set.
        ConfigValueCannotBeCoercedException: The value cannot be cast to `hint`.
    """
    look_up = source_look_up(source, key)
    return value_of(replace(look_up, sections=tuple(s for s in look_up.sections if s)), hint)


def source_mapping(source: str, key: str, hint: Any) -> Any:
    """Return a mapping, for an argument with a default, from all layers that have a part of it.

    dlt takes such a mapping from the highest layer alone. None if dlt's own look-up is right.

    Raises:
        ManifestError: The mapping uses environment variables that are not set.
    """
    hint = configuration.hint_for_providers(hint)
    if not configuration.may_be_mapping(hint):
        return None
    found = list(find(source_look_up(source, key), hint))
    mappings = [one for one in found if isinstance(one.value, Mapping)]
    # dlt does not find a mapping whose parts are environment variables
    is_left_to_dlt = len(found) < 2 and not any(map(_is_of_variables, found))
    value = merged(found) if mappings and not is_left_to_dlt else None
    return value if isinstance(value, Mapping) else None


def pipeline_argument(pipeline: str, key: str, hint: Any) -> Any:
    """Return the configured value of an argument of `dlt.pipeline`, as dlt finds it, or None.

    Args:
        pipeline: The pipeline.
        key: The argument, as the manifest calls it: dlt looks `destination` up as
            `destination_type`.
        hint: The type of the value.

    Raises:
        ManifestError: The value uses environment variables that are not set.
        ConfigValueCannotBeCoercedException: The value cannot be cast to `hint`.
    """
    *_, known_to_dlt = configuration_path(("pipelines", pipeline, key))
    return value_of(pipeline_look_up(pipeline, known_to_dlt), hint)


def run_config_value(pipeline: str, path: Sequence[str], hint: Any) -> Any:
    """Return a value of the `run_config` of a pipeline, or None.

    Raises:
        ManifestError: The value uses environment variables that are not set.
        ConfigValueCannotBeCoercedException: The value cannot be cast to `hint`.
    """
    look_up = _look_up(("pipelines", pipeline), ("run_config", *path))
    return value_of(replace(look_up, pipeline=pipeline), hint)


def source_look_up(source: str, *below: str) -> LookUp:
    """Return the look-up of a source's argument, or of a value in an argument that is a mapping."""
    names = source.split(".")
    return _look_up(("sources", *(names if names[1:] else names * 2)), below)


def destination_look_up(destination: str, *below: str) -> LookUp:
    """Return the look-up of a destination's value, or of a value in a mapping."""
    return _look_up(("destination", destination), below)


def pipeline_look_up(pipeline: str, key: str) -> LookUp:
    """Return the look-up of an argument of `dlt.pipeline`; `key` is dlt's name for it."""
    sections = configuration.look_up_sections(("pipelines", pipeline))
    return LookUp(key, tuple(sections), pipeline)


def _look_up(sections: Sequence[str], below: Sequence[str]) -> LookUp:
    *mappings, key = below
    found = [(*s, *mappings) for s in configuration.look_up_sections(sections)]
    return LookUp(key, tuple(found), configuration.active_pipeline_name())


def find(look_up: LookUp, hint: Any) -> Iterator[Found]:
    """Yield the values that the layers have for a look-up, the winner first.

    Args:
        look_up: The look-up.
        hint: The type of the value: some layers hold secrets only.
    """

    def is_mapping_sought(provider: ConfigProvider, sections: tuple[str, ...]) -> bool:
        # an argument called `runtime` does not mean the whole section `runtime`
        is_argument = len(look_up.sections) > 1
        return isinstance(provider, EnvironProvider) and bool(sections or not is_argument)

    for pipeline in dict.fromkeys((look_up.pipeline, None)):
        above = (pipeline,) if pipeline else ()
        documents: list[DocumentProvider] = []
        for provider in destinations.providers():
            # providers expect this question first, because dlt asks it first
            if provider.is_empty:
                continue
            for sections in look_up.sections:
                path = (*above, *sections, look_up.key)
                if isinstance(provider, ManifestProvider):
                    value, name = provider.as_written(path), ".".join(path)
                else:
                    value, name = provider.get_value(look_up.key, hint, pipeline, *sections)
                if value is None and is_mapping_sought(provider, sections):
                    value = variables_below(name) or None
                for document in documents:
                    value = document.without_unset(value)
                if value is not None:
                    yield Found(provider, path, name, value)
            if isinstance(provider, DocumentProvider):
                if provider.answers_alone:
                    return
                documents.append(provider)


def value_of(look_up: LookUp, hint: Any) -> Any:
    """Return the value of a look-up, cast to `hint`, or None.

    A mapping is merged from all layers, value by value.

    Raises:
        ManifestError: The value uses environment variables that are not set.
        ConfigValueCannotBeCoercedException: The value cannot be cast.
    """
    hint = configuration.hint_for_providers(hint)
    found = list(find(look_up, hint))
    if not configuration.may_be_mapping(hint):
        # a text has no parts: variables below its name belong to another value
        found = [one for one in found if not _is_of_variables(one)][:1]
    if not found:
        return None
    value = merged(found)
    sections = found[0].path[:-1]
    configuration.note_look_up(look_up.key, hint, value, found[0].provider.name, sections)
    return configuration.cast_value(look_up.key, value, hint)


def gives_way(look_up: LookUp) -> bool:
    """Tell whether a variable without a section is set, and ignored for a declared value."""
    if look_up.key.upper() not in os.environ:
        return False
    manifest = destinations.providers()[-1]
    paths = [(*sections, look_up.key) for sections in look_up.sections]
    return isinstance(manifest, ManifestProvider) and any(
        manifest.as_written(path) is not None for path in paths
    )


def merged(found: Sequence[Found]) -> Any:
    """Return the merged value of layers, the winner first, with its variables filled in.

    Variables must be set only where they are used. Those of a value that a higher layer replaces
    are not.
    """
    if not any(isinstance(part.value, Mapping) for part in found):
        return _filled(found[0], found[0].value)
    parts = [_as_mapping(part.value) for part in found]
    above = _spelt_as(parts[1:], parts[0]) if _is_environment(found[0]) else parts[0]
    above = _filled(found[0], above)
    for index in range(1, len(found)):
        below = parts[index]
        if not isinstance(above, Mapping) or not isinstance(below, Mapping):
            break
        if _is_environment(found[index]):
            below = _spelt_as([above, *parts[index + 1 :]], below)
        above = _laid_over(_filled(found[index], _without(above, below)), above)
    return above


def variables_below(name: str) -> dict[str, Any]:
    """Return the mapping whose parts are environment variables below `name`."""
    below: dict[str, Any] = {}
    for variable in [v for v in os.environ if v.startswith(f"{name}__")]:
        *sections, key = variable.removeprefix(f"{name}__").lower().split("__")
        section: Any = below
        for part in sections:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if isinstance(section, dict) and key and all(sections):
            section[key] = os.environ[variable]
    return below


def _is_environment(found: Found) -> bool:
    return isinstance(found.provider, EnvironProvider)


def _is_of_variables(found: Found) -> bool:
    return _is_environment(found) and isinstance(found.value, Mapping)


def _as_mapping(value: Any) -> Any:
    """Return the mapping that a JSON text holds; return anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _filled(found: Found, value: Any) -> Any:
    if isinstance(found.provider, ManifestProvider):
        return found.provider.fill(value, found.path)
    return value


def _without(above: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `below` that `above` does not replace."""
    kept: dict[str, Any] = {}
    for key, value in below.items():
        over = above.get(key)
        if over is None:
            kept[key] = value
        elif isinstance(over, Mapping) and isinstance(value, Mapping):
            kept[key] = _without(over, value)
    return kept


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            both[key] = _laid_over(under, value)
        else:
            both[key] = value
    return both


def _spelt_as(others: Sequence[Any], variables: Any) -> Any:
    """Return a mapping of environment variables, in the spelling and the types of other layers.

    Names of variables have no case, and their values are texts.
    """
    if not isinstance(variables, Mapping):
        return variables
    known = {str(k).lower(): (k, v) for o in others if isinstance(o, Mapping) for k, v in o.items()}
    spelt: dict[str, Any] = {}
    for name, value in variables.items():
        key, example = known.get(name.lower(), (name, None))
        if isinstance(value, Mapping):
            value = _spelt_as([o.get(key) for o in others if isinstance(o, Mapping)], value)
        elif isinstance(example, bool | int | float):
            value = configuration.cast_value(key, value, type(example))
        spelt[key] = value
    return spelt
