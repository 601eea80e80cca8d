"""Lays the section of a profile, and of those that it extends, over the base manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlthub_project.errors import known_names
from dlthub_project.manifest.document import Document, Mistake

IMPLICIT_PROFILES = ("dev", "tests", "access")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into a copy of `base`: mappings merge, all else is replaced, null removes."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def declared_profiles(document: Document) -> tuple[str, ...]:
    """Return the names of the profiles that the manifest declares, in the order of the file."""
    profiles = document.data.get("profiles")
    return tuple(profiles) if isinstance(profiles, Mapping) else ()


def layers(document: Document, profile: str) -> tuple[list[str], list[Mistake]]:
    """Return the profiles whose sections make up `profile`, lowest first, and what is wrong there.

    Wrong is a profile that extends itself, or one that does not exist.
    """
    found: list[str] = []
    mistakes: list[Mistake] = []
    _collect(document, profile, (), found, mistakes)
    return found, mistakes


def _collect(
    document: Document,
    profile: str,
    chain: tuple[str, ...],
    found: list[str],
    mistakes: list[Mistake],
) -> None:
    if profile in chain:
        circle = " -> ".join((*chain[chain.index(profile) :], profile))
        place = ("profiles", chain[-1], "extends")
        mistakes.append(Mistake(place, f"profiles extend each other: {circle}"))
        return
    known = declared_profiles(document)
    if profile not in known:
        if chain and profile not in IMPLICIT_PROFILES:
            place = ("profiles", chain[-1], "extends")
            hint = known_names(profile, {*known, *IMPLICIT_PROFILES})
            mistakes.append(Mistake(place, f"there is no profile `{profile}`. {hint}"))
        return
    if profile in found:
        return
    section = document.data["profiles"][profile]
    extends = section.get("extends") if isinstance(section, Mapping) else None
    parents = [extends] if isinstance(extends, str) else extends
    for parent in parents if isinstance(parents, list) else ():
        # anything else is for the validation to report
        if isinstance(parent, str):
            _collect(document, parent, (*chain, profile), found, mistakes)
    found.append(profile)


def merged_for(document: Document, profile_layers: list[str]) -> dict[str, Any]:
    """Return the base manifest with the sections of `profile_layers` laid over it in turn.

    A null of the base is kept: there it is an entry without content, or a value.
    """
    merged = {key: value for key, value in document.data.items() if key != "profiles"}
    for layer in profile_layers:
        section = document.data["profiles"][layer]
        if isinstance(section, Mapping):
            merged = merge(merged, {k: v for k, v in section.items() if k != "extends"})
    return merged
