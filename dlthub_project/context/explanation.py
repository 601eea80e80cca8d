"""Explains where a configuration value comes from: each layer that has it, and the winner."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from dlt.common.typing import AnyType, TSecretStrValue

from dlthub_project.context.configured_values import (
    Found,
    LookUp,
    destination_look_up,
    find,
    gives_way,
    pipeline_look_up,
    source_look_up,
)
from dlthub_project.context.discovery import FOLDER_VARIABLES
from dlthub_project.context.layers import Layer, Layers, value_at
from dlthub_project.context.providers import (
    OWN_SECTIONS,
    ManifestProvider,
    configuration_path,
    manifest_path,
)
from dlthub_project.dlt_internals import configuration, resources
from dlthub_project.errors import ValueNotSet, known_names
from dlthub_project.manifest import Manifest, Settings
from dlthub_project.secrets import PUBLIC_FIELDS, is_secret_name, shown

STEPS, KEPT = configuration.STEP_SECTIONS, configuration.CONFIGURATION_SECTIONS
_SETTINGS = tuple(s.name for s in fields(Settings) if s.name != "current_profile")
# values that other layers may give to a destination or pipeline, without a key in the manifest
_ALWAYS = {
    "destination": ("destination_type", "credentials", "bucket_url"),
    "pipelines": ("destination_type", "staging_type", "dataset_name"),
}
# dlt looks up nothing in these sections
_OF_MANIFEST_ALONE = ("project", "datasets", "caches", "transformations")
_SOURCE_KEYS = ("type", "with_args")


@dataclass(frozen=True)
class Explanation:
    """Every layer that has a value.

    Attributes:
        path: The manifest's path of the value, such as `destinations.warehouse.credentials`.
        layers: The layers that have the value, the highest first.
        below: The explanations of the values in a section.
    """

    path: str
    layers: tuple[Layer, ...]
    below: tuple[Explanation, ...] = ()

    @property
    def winner(self) -> Layer | None:
        """The layer whose value is used; None for a section, or a value that a null removes."""
        return next((layer for layer in self.layers if layer.counts), None)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.path
        rows = [(_position(layer), layer.key, layer.value, layer.remark) for layer in self.layers]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        for layer, row in zip(self.layers, rows, strict=True):
            mark = "->" if layer is self.winner else "  "
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            remark = f"  ({layer.remark})" if layer.remark else ""
            yield f"  {mark} {'  '.join(cells)}{remark}".rstrip()
        for explanation in self.below:
            yield from explanation._lines()


def explain(manifest: Manifest, path: str, *, is_for_others: bool = False) -> Explanation:
    """Return where the value at `path` comes from, in the active project; see `Project.explain`.

    Args:
        manifest: The manifest of the active project.
        path: The path of the value, in the manifest or in dlt.
        is_for_others: Mask all arguments of a source whose code cannot be imported, since it may
            call anything a secret.

    Raises:
        ValueNotSet: No layer has the value.
    """
    explainer = _Explainer(manifest, is_for_others)
    parts = configuration_path(tuple(path.split(".")))
    explanation = explainer.explain(parts)
    if explanation.layers or explanation.below:
        return explanation
    raise explainer.not_set(parts)


class _Explainer:
    def __init__(self, manifest: Manifest, is_for_others: bool) -> None:
        self._manifest = manifest
        self._is_for_others = is_for_others
        self._layers = Layers(manifest)
        # cached: the question imports the code of the source
        self._secret_arguments = cache(resources.secret_arguments)

    def explain(self, path: tuple[str, ...], *, secret: bool = False) -> Explanation:
        """Explain the value that dlt looks up at `path`; without a value there are no layers."""
        look_up = look_up_of(path)
        is_public = _is_public(path) and not configuration.was_looked_up_as_secret(path)
        secret = not is_public and (secret or self._is_secret(path))
        hint = TSecretStrValue if secret else AnyType
        found = list(find(look_up, hint)) if look_up else []
        values = [one for one in found if not isinstance(one.value, Mapping)]
        # if one layer keeps the value among secrets, it is a secret in all layers
        in_secrets = self._layers.is_in_secrets
        secret = secret or (not is_public and any(map(in_secrets, values)))
        names = self._names_below(path, found)
        layers: list[Layer] = []
        if values or not names:
            masked = secret or (not is_public and any(map(in_secrets, found)))
            layers += [layer for one in found for layer in self._layers.of(one, masked)]
            layers += self._beside(path, look_up, found, masked)
        below = [self.explain(name, secret=secret) for name in names]
        return Explanation(
            ".".join(manifest_path(path)),
            tuple(layers),
            tuple(one for one in below if one.layers or one.below),
        )

    def _is_secret(self, path: tuple[str, ...]) -> bool:
        is_known = is_secret_name(path) or configuration.was_looked_up_as_secret(path)
        return is_known or self._is_declared_secret(path)

    def _is_declared_secret(self, path: tuple[str, ...]) -> bool:
        """Tell whether the code of a declared source calls one of its arguments a secret."""
        if path[0] != "sources" or len(path) < 3:
            return False
        entry = self._manifest.entry("sources", path[1]) or {}
        reference = entry.get("type")
        if not isinstance(reference, str) or path[2] in _SOURCE_KEYS:
            return False
        secrets = self._secret_arguments(reference)
        return self._is_for_others if secrets is None else not secrets.isdisjoint(path[2:])

    def not_set(self, path: tuple[str, ...]) -> ValueNotSet:
        """Return the error for a path that no layer has."""
        manifest = self._manifest
        length = 0
        known = [*OWN_SECTIONS, *STEPS, *KEPT, *manifest.merged]
        while path[length] in known and length + 1 < len(path):
            length += 1
            known = [one.path.split(".")[length] for one in self.explain(path[:length]).below]
            known += [configuration_path((*path[:length], name))[-1] for name in known]
        written = manifest_path(path)
        spelled = {manifest_path((*path[:length], name))[-1] for name in known}
        above = ".".join(written[:length])
        where = f"below `{above}`" if above else f"in {manifest.document.path}"
        remedy = f"Set it in {manifest.document.path.name}"
        if path[1:] and look_up_of(path):
            remedy += f", below [{'.'.join(path[:-1])}] of a TOML file, or as the environment "
            remedy += f"variable {'__'.join(path).upper()}"
        reason = f"Nothing sets `{'.'.join(written)}`: there is no `{written[length]}` {where}."
        known_there = f" {known_names(written[length], spelled)}" if spelled else ""
        return ValueNotSet(f"{reason}{known_there}", f"{remedy}.")

    def _names_below(
        self, path: tuple[str, ...], found: Sequence[Found]
    ) -> dict[tuple[str, ...], None]:
        """Return dlt's paths of the values that a section may have."""
        mappings = [one.value for one in found if isinstance(one.value, Mapping)]
        names: list[Any] = [name for mapping in mappings for name in mapping]
        names += self._layers.names_in_manifest(manifest_path(path))
        if path == ("project",):
            names += _SETTINGS
        elif len(path) == 2:
            names += _ALWAYS.get(path[0], ())
        spelled: dict[str, str] = {}
        for name in map(str, names):
            # names of environment variables have no case: take the spelling of another layer
            if name != name.lower() or name not in spelled:
                spelled[name.lower()] = name
        return dict.fromkeys(configuration_path((*path, name)) for name in spelled.values())

    def _beside(
        self,
        path: tuple[str, ...],
        look_up: LookUp | None,
        found: Sequence[Found],
        secret: bool,
    ) -> Iterator[Layer]:
        """Yield the layers of a value that dlt does not find, and its default."""
        written = manifest_path(path)
        if path[0] == "project" and len(path) == 2:
            yield from self._given_folder(path[1])
        if not any(
            isinstance(one.provider, ManifestProvider) and one.path == path for one in found
        ):
            yield from self._layers.of_manifest(written, secret)
        if look_up and () in look_up.sections and gives_way(look_up):
            name = look_up.key.upper()
            value = shown(os.environ[name], secret=secret)
            remark = "ignored: it has no section, and the manifest has a value"
            yield Layer("environment", name, value, "", remark, counts=False)
        default = self._default(path)
        if default is not None:
            yield Layer("default", ".".join(path), shown(default, secret=secret))

    def _given_folder(self, name: str) -> Iterator[Layer]:
        """Yield the layer of a folder that a variable or code has given, not the manifest."""
        folder = self._manifest.folders.get(name)
        if folder is None:
            return
        variable = FOLDER_VARIABLES[name]
        if os.environ.get(variable) == folder:
            yield Layer("environment", variable, folder)
        else:
            yield Layer("given by code", name, folder)

    def _default(self, path: tuple[str, ...]) -> Any:
        if path[0] == "project" and len(path) == 2:
            is_setting = path[1] in _SETTINGS
            is_declared = value_at(self._manifest.merged, path) is not None
            is_given = path[1] in self._manifest.folders
            if not is_setting or is_declared or is_given:
                return None
            return getattr(self._manifest.settings, path[1])
        if path[0] == "pipelines" and path[1:2]:
            if path[1] not in self._manifest.names("pipelines"):
                return None
            if path[2:] == ("dataset_name",):
                return f"{path[1]}_dataset"
        return configuration.default_of(path)


def look_up_of(path: tuple[str, ...]) -> LookUp | None:
    """Return the look-up that dlt makes for `path`; None if it makes none."""
    section, *rest = path
    *sections, key = path
    active = configuration.active_pipeline_name()
    is_source_key = section == "sources" and len(path) > 2 and path[2] in _SOURCE_KEYS
    if section in _OF_MANIFEST_ALONE or is_source_key or path[2:] == ("source",):
        return None
    if section == "destination" and path[2:] == ("destination_type",):
        # dlt looks up the type of a name in one section, without the pipeline's
        return LookUp(key, (tuple(sections),))
    if section == "pipelines" and len(path) == 3:
        return pipeline_look_up(path[1], key)
    if section == "sources" and len(path) > 2:
        # dlt looks below a source's section and name, and both are the name of the entry
        name, *below = rest[1:] if rest[0] == rest[1] and len(rest) > 2 else rest
        return source_look_up(name, *below)
    if section == "destination" and len(path) > 2:
        return destination_look_up(*rest)
    keeps_last = bool(sections) and sections[-1] in KEPT
    if section in STEPS or keeps_last:
        kept = sections.pop() if keeps_last else None
        return LookUp(key, tuple(configuration.look_up_sections(sections, kept)), active)
    return LookUp(key, (tuple(sections),), active)


def _is_public(path: tuple[str, ...]) -> bool:
    """Tell whether a value is public although credentials hold it: a host, a port, a user."""
    return path[-1] in PUBLIC_FIELDS and "credentials" in path[:-1]


def _position(layer: Layer) -> str:
    if layer.location.startswith(layer.source):
        return layer.location
    return f"{layer.source} {layer.location}".rstrip()
