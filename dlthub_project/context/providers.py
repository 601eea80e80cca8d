"""The manifest as dlt configuration, below every other place where values come from."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.dlt_internals import DocumentProvider
from dlthub_project.manifest import Manifest

# `type` names the code and `with_args` its decorator's arguments: neither is a value of the source
_NOT_CONFIGURATION = ("type", "with_args")
# as the manifest writes a key, and as dlt looks it up
_DESTINATION_KEYS = {"type": "destination_type"}
_PIPELINE_KEYS = {"destination": "destination_type", "staging": "staging_type"}
_OWN_SECTIONS = (
    "project",
    "sources",
    "destination",
    "datasets",
    "pipelines",
    "caches",
    "transformations",
)


class ManifestProvider(DocumentProvider):
    """Answers dlt's look-ups from the merged manifest, filling variables in when asked."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(_as_configuration(manifest))
        self._manifest = manifest

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
        value, full_key = super().get_value(key, hint, pipeline_name or "", *sections)
        path = (*((pipeline_name,) if pipeline_name else ()), *sections, key)
        if value is None or _is_entry(path, value):
            return None, full_key
        return self._manifest.fill(value, _manifest_path(path)), full_key


class ProvidersWithLowest(list[ConfigProvider]):
    """A list of providers whose last one stays last, whatever dlt and its users add."""

    def append(self, provider: ConfigProvider) -> None:
        """Insert `provider` above the lowest one."""
        self.insert(len(self) - 1, provider)


def _as_configuration(manifest: Manifest) -> dict[str, Any]:
    # a copy: dlt and its users set values in it
    document = {
        key: copy.deepcopy(value)
        for key, value in manifest.merged.items()
        if key not in (*_OWN_SECTIONS, "destinations") and value is not None
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


def _is_entry(path: tuple[str, ...], value: Any) -> bool:
    """Tell whether a look-up met a section of the manifest, or one of its pipelines.

    dlt shortens the path of a value that it misses, so that an argument called `project` or a
    setting called as a pipeline would be given that entry.
    """
    if len(path) == 1:
        return path[0] in _OWN_SECTIONS
    return len(path) == 2 and path[0] == "pipelines" and isinstance(value, Mapping)


def _manifest_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return where the manifest has what dlt looks up at `path`."""
    names = {"destination": _DESTINATION_KEYS, "pipelines": _PIPELINE_KEYS}.get(path[0], {})
    as_written = {known_to_dlt: written for written, known_to_dlt in names.items()}
    section = "destinations" if path[0] == "destination" else path[0]
    return (section, *path[1:-1], as_written.get(path[-1], path[-1])) if path[1:] else (section,)
