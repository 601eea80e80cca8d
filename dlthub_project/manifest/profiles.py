"""Lays the sections of a profile, and of the profiles that it extends, over the base manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlthub_project.errors import known_names
from dlthub_project.manifest.document import Document, EntryPath, Mistake

IMPLICIT_PROFILES = ("dev", "tests", "access")

_LONGEST_CHAIN = 100
# comparing names takes about 10 microseconds a pair
_MOST_COMPARISONS = 20_000


def merge(base: Mapping[str, Any], *over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge each of `over` into a copy of `base`.

    Mappings merge, all else is replaced, null removes. A null of the base itself is kept: there it
    is an entry without content, or a value.
    """
    merged = {
        key: merge(value) if isinstance(value, Mapping) else value for key, value in base.items()
    }
    for layer in over:
        _lay(merged, layer)
    return merged


def _lay(merged: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            if not isinstance(below, dict):
                below = merged[key] = {}
            _lay(below, value)
        else:
            merged[key] = value


def declared_profiles(document: Document) -> tuple[str, ...]:
    """Return the names of the profiles that the manifest declares, in the order of the file."""
    profiles = document.data.get("profiles")
    return tuple(profiles) if isinstance(profiles, Mapping) else ()


def layers(document: Document, profile: str) -> tuple[list[str], list[Mistake]]:
    """Return the profiles whose sections make up `profile`, lowest first, and what is wrong there.

    Wrong is a profile that extends itself, or one that does not exist.
    """
    extending = _Extending(document)
    extending.follow(profile, ())
    return list(extending.found), extending.mistakes


def merged_for(document: Document, profile_layers: list[str]) -> dict[str, Any]:
    """Return the base manifest with the sections of `profile_layers` laid over it in turn."""
    base = {key: value for key, value in document.data.items() if key != "profiles"}
    sections = [document.data["profiles"][layer] for layer in profile_layers]
    over = [
        {key: value for key, value in section.items() if key != "extends"}
        for section in sections
        if isinstance(section, Mapping)
    ]
    return merge(base, *over)


def origins(document: Document, profile_layers: list[str]) -> dict[EntryPath, str]:
    """Return, for each path of the merged manifest, the profile that its value comes from.

    Paths of the base alone are left out.
    """
    rank = {layer: number for number, layer in enumerate(profile_layers)}
    found: dict[EntryPath, str] = {}
    for first, *below in document.positions:
        if first == "profiles" and len(below) > 1 and below[0] in rank:
            layer, path = str(below[0]), tuple(below[1:])
            if path not in found or rank[found[path]] < rank[layer]:
                found[path] = layer
    return found


def path_in_document(
    document: Document, origin: Mapping[EntryPath, str], path: EntryPath
) -> EntryPath:
    """Return where `document` has `path` of the merged manifest, or the nearest entry above it.

    Args:
        document: The file.
        origin: What `origins` gives.
        path: A path of the merged manifest.
    """
    for length in range(len(path), 0, -1):
        if layer := origin.get(path[:length]):
            return ("profiles", layer, *path)
        if path[:length] in document.positions:
            break
    return path


class _Extending:
    """Follows `extends` from profile to profile.

    Attributes:
        found: The profiles that were met, those that are extended first.
        mistakes: What is wrong on the way.
    """

    def __init__(self, document: Document) -> None:
        self.found: dict[str, None] = {}
        self.mistakes: list[Mistake] = []
        declared = document.data.get("profiles")
        self._declared: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}

    def follow(self, profile: str, chain: tuple[str, ...]) -> None:
        """Follow `profile`, which the last profile of `chain` extends."""
        if profile in chain:
            self._circle(chain[chain.index(profile) :])
        elif len(chain) > _LONGEST_CHAIN:
            message = f"profiles extend each other over more than {_LONGEST_CHAIN} steps"
            self._mistake(chain[-1], message)
        elif profile not in self._declared:
            if chain and profile not in IMPLICIT_PROFILES:
                hint = self._hint(profile)
                self._mistake(chain[-1], f"there is no profile `{profile[:80]}`.{hint}")
        elif profile not in self.found:
            section = self._declared[profile]
            extends = section.get("extends") if isinstance(section, Mapping) else None
            parents = [extends] if isinstance(extends, str) else extends
            for parent in parents if isinstance(parents, list) else ():
                # the validation reports any other type
                if isinstance(parent, str):
                    self.follow(parent, (*chain, profile))
            self.found[profile] = None

    def _circle(self, names: tuple[str, ...]) -> None:
        # the same circle for each of its profiles: it begins at the first that the file declares
        start = names.index(next(name for name in self._declared if name in names))
        circle = (*names[start:], *names[:start])
        message = f"profiles extend each other: {' -> '.join((*circle, circle[0]))}"
        self._mistake(circle[-1], message)

    def _mistake(self, profile: str, message: str) -> None:
        self.mistakes.append(Mistake(("profiles", profile, "extends"), message))

    def _hint(self, profile: str) -> str:
        if len(profile) > 80 or len(self._declared) * len(self.mistakes) > _MOST_COMPARISONS:
            return ""
        return f" {known_names(profile, {*self._declared, *IMPLICIT_PROFILES})}"
