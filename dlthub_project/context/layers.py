"""Which files, profiles and variables a value stands in, where dlt sees one provider."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tomlkit
from dlt.common.configuration.providers import EnvironProvider, SettingsTomlProvider
from tomlkit.exceptions import TOMLKitError

from dlthub_project.context.configured_values import Found
from dlthub_project.context.providers import ManifestProvider, manifest_path
from dlthub_project.errors import ManifestError
from dlthub_project.manifest import Manifest
from dlthub_project.secrets import MASK, is_variable, names_secret_variable, shown

_REMOVED, _REPLACED = "removed", "replaced"

_MARK = "the value that is looked for"


@dataclass(frozen=True)
class Layer:
    """A file, an environment or a provider that has a value.

    Attributes:
        source: Its name, such as `environment` or `profile prod`.
        key: Where the value stands there: a path, or the name of an environment variable.
        value: The value as text; secrets are masked.
        location: `file:line` or `file:line:column`, counted from 1, relative to the project's
            folder; empty if the value is in no file.
        remark: A remark for the reader.
        counts: Whether the value is used if no higher layer has one.
    """

    source: str
    key: str
    value: str
    location: str = ""
    remark: str = ""
    counts: bool = True


class Layers:
    """The layers of one project."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._root = manifest.document.path.parent.absolute()
        # read each file once, because many values may be explained
        self._toml_files = cache(self._read_toml_files)

    def of(self, found: Found, secret: bool) -> Iterator[Layer]:
        """Yield the layers of a value that one provider has, the winner first."""
        if isinstance(found.provider, ManifestProvider):
            path = manifest_path(found.path)
            written = list(self.of_manifest(path, secret))
            # the manifest implies the value, such as a type by its name, or code has set it
            implied = Layer("default", found.key, shown(found.value, secret=secret))
            yield from written or [implied]
        elif isinstance(found.provider, SettingsTomlProvider):
            yield from self._of_toml(found.provider, found, secret)
        else:
            is_environment = isinstance(found.provider, EnvironProvider)
            source = "environment" if is_environment else found.provider.name
            yield Layer(source, found.key, shown(found.value, secret=secret))

    def of_manifest(self, path: tuple[str, ...], secret: bool) -> Iterator[Layer]:
        """Yield the profiles, and the base, that have a value at a path of the manifest."""
        document = self.manifest.document
        hidden = ""
        for profile in (*reversed(self.manifest.layers), None):
            above = ("profiles", profile) if profile else ()
            value, ends = _descend(value_at(document.data, above), path)
            full = (*above, *path)
            source = f"profile {profile}" if profile else "dlt.yml"
            if value is not None:
                remark = hidden or self._unset(value, path)
                text = self._shown(value, secret)
                yield Layer(
                    source, ".".join(full), text, self._position(full), remark, counts=not hidden
                )
            elif ends == _REMOVED and profile and full in document.positions:
                remark = hidden or "removes the value"
                yield Layer(
                    source, ".".join(full), "null", self._position(full), remark, counts=False
                )
            if ends and profile:
                hidden = hidden or f"{ends} by {source}"

    def names_in_manifest(self, path: tuple[str, ...]) -> list[str]:
        """Return the names below a path of the manifest, in the base and in the profiles."""
        profiles = [("profiles", profile) for profile in self.manifest.layers]
        data = self.manifest.document.data
        sections = [value_at(data, (*above, *path)) for above in ((), *profiles)]
        names = (name for s in sections if isinstance(s, Mapping) for name in s)
        return list(dict.fromkeys(map(str, names)))

    def is_in_secrets(self, found: Found) -> bool:
        """Tell whether a layer keeps the value among secrets, or takes it of a secret variable."""
        if isinstance(found.provider, ManifestProvider):
            return names_secret_variable(found.value)
        if isinstance(found.provider, EnvironProvider):
            return False
        if isinstance(found.provider, SettingsTomlProvider):
            return found.provider.supports_secrets
        # a vault that dlt or the user adds; our own providers hold destinations and test settings
        is_ours = type(found.provider).__module__.partition(".")[0] == __name__.partition(".")[0]
        return found.provider.supports_secrets and not is_ours

    def _of_toml(
        self, provider: SettingsTomlProvider, found: Found, secret: bool
    ) -> Iterator[Layer]:
        layers: list[Layer] = []
        winning: Any = None
        hidden = ""
        for file in self._toml_files(tuple(provider.present_locations)):
            value, ends = _descend(file.data, found.path)
            name = self._relative(file.path)
            if value is not None:
                winning = value if winning is None else winning
                line = file.line(found.path)
                location = f"{name}:{line}" if line else name
                text = shown(value, secret=secret)
                layers.append(Layer(name, found.key, text, location, hidden, counts=not hidden))
            if ends:
                hidden = hidden or f"{ends} by {name}"
        if not layers or (not isinstance(found.value, Mapping) and winning != found.value):
            source = f"{provider.name}, set by code"
            layers.insert(0, Layer(source, found.key, shown(found.value, secret=secret)))
        yield from layers

    @staticmethod
    def _read_toml_files(paths: Sequence[str]) -> list[TomlFile]:
        return list(read_toml_files(paths))

    def _shown(self, value: Any, secret: bool) -> str:
        if secret and is_variable(value):
            return f"{MASK} (from {value})"
        if names_secret_variable(value):
            # as it is written, which shows the variable and not its secret
            return shown(value, secret=secret)
        return shown(self.manifest.fill_known(value), secret=secret)

    def _unset(self, value: Any, path: tuple[str, ...]) -> str:
        try:
            self.manifest.fill(value, path)
        except ManifestError:
            return "uses a variable that is not set"
        return ""

    def _position(self, path: tuple[str, ...]) -> str:
        file = self._relative(self.manifest.document.path)
        position = self.manifest.document.position(path)
        return f"{file}:{position[0] + 1}:{position[1] + 1}" if position else file

    def _relative(self, path: Path) -> str:
        full = os.path.abspath(path)
        is_below = full.startswith(str(self._root) + os.sep)
        return os.path.relpath(full, self._root) if is_below else full


def _descend(section: Any, path: tuple[str, ...]) -> tuple[Any, str]:
    """Return the value at `path` or None, and whether it removes or replaces lower layers."""
    for index, part in enumerate(path):
        if not isinstance(section, Mapping):
            replaces = _REMOVED if section is None else _REPLACED
            return None, replaces if index else ""
        if part not in section:
            return None, ""
        section = section[part]
    return section, _REMOVED if section is None else ""


@dataclass(frozen=True)
class TomlFile:
    """The present content of a TOML file.

    Attributes:
        path: The file.
        text: Its content.
        data: The same as plain data.
    """

    path: Path
    # not shown: there may be secrets in them
    text: str
    data: dict[str, Any]

    def __repr__(self) -> str:
        return f"<TomlFile {self.path}>"

    def line(self, path: Sequence[str]) -> int | None:
        """Return the line of the value at `path`, counted from 1, or of a section's first value.

        None if nobody can tell.
        """
        parts: list[str | int] = list(path)
        value = value_at(self.data, path)
        while value and isinstance(value, Mapping | list):
            if isinstance(value, list) and not isinstance(value[0], Mapping):
                break
            part: Any = next(iter(value)) if isinstance(value, Mapping) else 0
            parts.append(part)
            value = value[part]
        # tomlkit has no positions, but keeps the text around a value that is replaced
        document: Any = tomlkit.parse(self.text)
        section = document
        try:
            for part in parts[:-1]:
                section = section[part]
            section[parts[-1]] = _MARK
            lines = tomlkit.dumps(document).splitlines()
        except (TOMLKitError, KeyError, TypeError, ValueError):
            return None
        return next((number for number, line in enumerate(lines, 1) if _MARK in line), None)


def read_toml_files(paths: Sequence[str]) -> Iterator[TomlFile]:
    """Yield the files that exist and can be read, in the given order."""
    for path in map(Path, paths):
        try:
            text = path.read_text(encoding="utf-8")
            data = tomlkit.parse(text).unwrap()
        except (OSError, ValueError):
            # somebody has changed the file since dlt has read it
            continue
        yield TomlFile(path, text, data)


def value_at(section: Any, path: Sequence[str]) -> Any:
    """Return the value at `path` of nested mappings, or None."""
    for part in path:
        section = section.get(part) if isinstance(section, Mapping) else None
    return section
