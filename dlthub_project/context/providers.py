"""The manifest as a dlt configuration provider, below all other providers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.dlt_internals import configuration
from dlthub_project.dlt_internals.configuration import DocumentProvider
from dlthub_project.manifest import Manifest
from dlthub_project.secrets import uses_variable

# `type` names code, and `with_args` has arguments of its decorator: neither is a value of a source
_NOT_CONFIGURATION = ("type", "with_args")
# keys of the manifest, and dlt's names for them
_DESTINATION_KEYS = {"type": "destination_type"}
_PIPELINE_KEYS = {"destination": "destination_type", "staging": "staging_type"}
_NAMES = {"destination": _DESTINATION_KEYS, "pipelines": _PIPELINE_KEYS}
OWN_SECTIONS = (
    "project",
    "sources",
    "destination",
    "datasets",
    "pipelines",
    "caches",
    "transformations",
)


_unset: str | None = None


class ManifestProvider(DocumentProvider):
    """Answers dlt's look-ups from the merged manifest, and fills variables in then."""

    def __init__(self, manifest: Manifest, refusal: str = "") -> None:
        """Make the provider.

        Args:
            manifest: The manifest.
            refusal: Why no secret of the environment is filled in; empty where they are.
        """
        super().__init__(_as_configuration(manifest))
        self._manifest = manifest
        self._refusal = refusal

    @property
    def name(self) -> str:
        return str(self._manifest.document.path.name)

    @property
    def supports_secrets(self) -> bool:
        return True

    @property
    def locations(self) -> Sequence[str]:
        return [str(self._manifest.document.path)]

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        full_key = self.get_key_name(key, pipeline_name or "", *sections)
        path = (*((pipeline_name,) if pipeline_name else ()), *sections, key)
        value = self.as_written(path)
        if self._refusal and configuration.is_secret_hint(hint) and uses_variable(value):
            value = None
        return (None if value is None else self.fill(value, path)), full_key

    def as_written(self, path: tuple[str, ...]) -> Any:
        """Return the value at dlt's `path`, with its variables as they are written, or None."""
        value: Any = self.document
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return None if value is None or _is_entry(path, value) else value

    def fill(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return `value` of dlt's `path` with its variables filled in.

        Raises:
            ManifestError: The value uses environment variables that are not set.
        """
        written_at = manifest_path(path)
        if _unset is None:
            return self._manifest.fill(value, written_at, refusal=self._refusal)
        filled = self._manifest.fill(value, written_at, unset=_unset, refusal=self._refusal)
        return None if filled == _unset else filled

    @cached_property
    def declared_names(self) -> frozenset[str]:
        """The last names of all paths at which the manifest has a value."""
        return frozenset(_names_in(_as_configuration(self._manifest)))


@contextmanager
def unset_variables_missing(text: str) -> Iterator[None]:
    """Count values as missing, in a block, if they use environment variables that are not set.

    Outside of the block they are an error. In a mapping that dlt looks up as a whole, such as the
    `client` of a rest_api source, they become `text`.
    """
    global _unset
    earlier, _unset = _unset, text
    try:
        yield
    finally:
        _unset = earlier


class ProvidersWithLowest(list[ConfigProvider]):
    """A list of providers that keeps its last one last when dlt or users append others."""

    def append(self, provider: ConfigProvider) -> None:
        """Insert `provider` above the lowest one."""
        self.insert(len(self) - 1, provider)


def _as_configuration(manifest: Manifest) -> dict[str, Any]:
    # a copy, because dlt and its users set values in it
    document = {
        key: copy.deepcopy(value)
        for key, value in manifest.merged.items()
        if key not in (*OWN_SECTIONS, "destinations") and value is not None
    }
    document["sources"] = {
        name: {key: value for key, value in entry.items() if key not in _NOT_CONFIGURATION}
        for name, entry in manifest.section("sources").items()
    }
    document["destination"] = {
        name: _renamed({"type": name, **entry}, _DESTINATION_KEYS)
        for name, entry in manifest.section("destinations").items()
    }
    document["pipelines"] = {
        name: _renamed(
            {key: value for key, value in entry.items() if key != "source"},
            _PIPELINE_KEYS,
        )
        for name, entry in manifest.section("pipelines").items()
    }
    return document


def _renamed(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in entry.items()}


def _names_in(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        yield key
        if isinstance(value, Mapping):
            yield from _names_in(value)


def _is_entry(path: tuple[str, ...], value: Any) -> bool:
    """Tell whether a path leads to a section of the manifest, or to a pipeline, and to no value.

    dlt shortens the path of a value that it does not find. An argument called `project` would then
    get that section, and a setting with the name of a pipeline would get its entry.
    """
    if len(path) == 1:
        return path[0] in OWN_SECTIONS
    return len(path) == 2 and path[0] == "pipelines" and isinstance(value, Mapping)


def configuration_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return dlt's path of a value for its path in the manifest; dlt's own path stays."""
    section = "destination" if path[0] == "destinations" else path[0]
    names = _NAMES.get(section, {}) if len(path) == 3 else {}
    return (section, *path[1:2], *(names.get(part, part) for part in path[2:]))


def manifest_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the manifest's path of a value for dlt's path of it."""
    names = _NAMES.get(path[0], {}) if len(path) == 3 else {}
    as_written = {known_to_dlt: written for written, known_to_dlt in names.items()}
    section = "destinations" if path[0] == "destination" else path[0]
    return (section, *path[1:2], *(as_written.get(part, part) for part in path[2:]))


class EnvironmentBesideManifest(EnvironProvider):
    """dlt's provider of environment variables, which ignores some variables without a section.

    It ignores a variable if the manifest has a value for the same look-up: a declared `path` is not
    the `PATH` of the shell.
    """

    def __init__(self, environment: EnvironProvider, manifest: ManifestProvider) -> None:
        """Make the provider.

        Args:
            environment: The provider that reads the variables.
            manifest: The lowest provider of the project.
        """
        self._environment = environment
        self._manifest = manifest
        self._look_up = _LookUp()

    @property
    def is_empty(self) -> bool:
        # dlt asks this once at the beginning of each look-up. Then it asks for the value at one
        # path after the other, the shortest path last
        self._look_up.asked = []
        return self._environment.is_empty

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        if key in self._manifest.declared_names and not pipeline_name:
            self._look_up.asked.append((*sections, key))
            if not sections and self.gives_way():
                return None, key.upper()
        return self._environment.get_value(key, hint, pipeline_name or "", *sections)

    def has_nothing(self, key: str, section: str) -> bool:
        """Tell whether no variable can have the value, as the provider of the variables knows."""
        tells = getattr(self._environment, "has_nothing", None)
        is_declared = key in self._manifest.declared_names
        return tells is not None and not is_declared and bool(tells(key, section))

    def gives_way(self) -> bool:
        """Tell whether the manifest has a value for the present look-up."""
        return any(self._manifest.as_written(path) is not None for path in self._look_up.asked)


class _LookUp(threading.local):
    """The paths that a thread has asked for in its present look-up."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
