"""Which destinations a test profile configures itself: those are not replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from dlthub_project.manifest import Manifest
from dlthub_project.sandbox.destinations import PLACE_KEYS


def configured_in_manifest(manifest: Manifest) -> Iterator[str]:
    """Yield the destinations that the profile's own section places; inherited ones do not count."""
    profiles = manifest.document.data.get("profiles") or {}
    own = profiles.get(manifest.profile) or {}
    yield from _placed(own.get("destinations"))


def configured_in_toml(settings_dir: Path, profile: str) -> Iterator[str]:
    """Yield the destinations that `.dlt/<profile>.*.toml` place."""
    for name in ("config", "secrets"):
        file = settings_dir / f"{profile}.{name}.toml"
        if file.is_file():
            document = tomlkit.parse(file.read_text(encoding="utf-8")).unwrap()
            yield from _placed(document.get("destination"))


def _placed(destinations: Any) -> Iterator[str]:
    for name, entry in destinations.items() if isinstance(destinations, Mapping) else ():
        if isinstance(entry, Mapping) and any(key in entry for key in PLACE_KEYS):
            yield name
