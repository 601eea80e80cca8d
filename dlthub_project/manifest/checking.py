"""Finds every mistake of a manifest under a profile: layers, shape, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlthub_project.manifest import profiles
from dlthub_project.manifest.document import Document, Mistake
from dlthub_project.manifest.references import mistakes_between_entries
from dlthub_project.manifest.settings import Settings, read_settings
from dlthub_project.manifest.validation import validate

# profiles times entries: what is checked in half a second
_MOST_CHECKS = 200_000


@dataclass(frozen=True)
class Checked:
    """A manifest with one profile laid over it.

    Attributes:
        layers: The profiles that make up the profile, lowest first.
        merged: The merged manifest.
        settings: Its settings; None when something is wrong with them.
        mistakes: Whatever is wrong, at paths of the document.
    """

    layers: list[str]
    merged: dict[str, Any]
    settings: Settings | None
    mistakes: list[Mistake]


def check(document: Document, profile: str, folders: Mapping[str, str]) -> Checked:
    """Merge and check `document` for `profile`.

    Args:
        document: The file, as written.
        profile: The active profile; one that is not declared adds nothing.
        folders: Settings to use instead of the declared ones.
    """
    layers, mistakes = profiles.layers(document, profile)
    merged = profiles.merged_for(document, layers)
    mistakes += validate({**merged, "profiles": document.data.get("profiles")})
    if not any(mistake.path[0] in ("caches", "transformations") for mistake in mistakes):
        mistakes += mistakes_between_entries(merged)
    settings = None
    if not any(mistake.path[0] == "project" for mistake in mistakes):
        section = merged.get("project") or {}
        root = document.path.parent.absolute()
        settings, wrong = read_settings(section, root, profile, folders)
        mistakes += wrong
    origin = profiles.origins(document, layers) if mistakes else {}
    placed = [
        mistake._replace(path=profiles.path_in_document(document, origin, mistake.path))
        for mistake in mistakes
    ]
    return Checked(layers, merged, settings, placed)


def mistakes_of_all_profiles(document: Document) -> list[Mistake]:
    """Return whatever is wrong in `document` under any of its profiles, each mistake once.

    Of a file with very many profiles and entries only the first profiles are checked.
    """
    names = dict.fromkeys(("dev", *profiles.declared_profiles(document)))
    most = max(1, _MOST_CHECKS // (len(document.positions) + 1))
    found: dict[Mistake, None] = {}
    for name in list(names)[:most]:
        found.update(dict.fromkeys(check(document, name, {}).mistakes))
    return list(found)
