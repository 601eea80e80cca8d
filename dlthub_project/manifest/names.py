"""Checks that dlt can make files and folders with the names and paths of a manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dlthub_project.manifest.document import EntryPath, Mistake

SECTIONS = ("sources", "destinations", "datasets", "pipelines", "caches", "transformations")
"""The sections of a manifest that declare entities, each by its name."""

# a DuckDB file adds its ending, a staging dataset `_staging`; file systems take 255
_MOST_BYTES = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATOR = re.compile(r"[/\\]")
# characters that dlt.pipeline refuses
_NOT_OF_PIPELINES = re.compile(r'[.%{}:*?"<>|]')
# keys that name other entries, which need not be declared
_REFERENCES = {
    "pipelines": ("source", "destination", "staging", "dataset_name", "after"),
    "datasets": ("destination",),
}
# keys whose values are paths
_PATHS = {
    "destinations": ("bucket_url", "credentials", "database", "path"),
    "pipelines": ("pipelines_dir", "import_schema_path", "export_schema_path"),
}


def mistakes_in_names(merged: Mapping[str, Any], profiles: Any) -> Iterator[Mistake]:
    """Yield the mistakes: names that no file can have, paths and types that lead nowhere.

    Args:
        merged: The manifest, with the profile's section laid over it.
        profiles: The profiles of the document.
    """
    for section in SECTIONS:
        for name, entry in _entries(merged.get(section)):
            if problem := problem_of_name(name) or _problem_of(section, name):
                yield Mistake((section, name), problem)
            elif isinstance(entry, Mapping):
                yield from _in_entry(section, name, entry)
    for name, _ in _entries(profiles):
        if problem := problem_of_name(name):
            yield Mistake(("profiles", name), problem)


def problem_of_name(name: str) -> str:
    """Return why `name` cannot be that of a file or folder; empty if it can."""
    if not name.strip():
        return "has an empty name: give it one"
    if found := _CONTROL.search(name):
        return f"has a name with the character {_shown(found[0])}: leave that out"
    if found := _SEPARATOR.search(name):
        return (
            f"has a name with `{found[0]}`, and files and folders are called after it: write `_` "
            "in its place"
        )
    if name in (".", ".."):
        return f"is called `{name}`, which is another folder: give it a name"
    if len(name.encode(errors="replace")) > _MOST_BYTES:
        return (
            f"has a name of {len(name.encode(errors='replace'))} bytes, and files and folders are "
            f"called after it: {_MOST_BYTES} is the most"
        )
    return ""


def problem_of_path(path: str) -> str:
    """Return why `path` leads nowhere on any system; empty if it may lead somewhere."""
    if "\0" in path:
        return f"has the character {_shown(chr(0))}, which no path can have: leave that out"
    return ""


def _problem_of(section: str, name: str) -> str:
    if section != "pipelines":
        return ""
    if found := _NOT_OF_PIPELINES.search(name):
        return f"has a name with `{found[0]}`, which dlt takes for no pipeline: write `_` instead"
    return "has a name that ends with a space: leave that out" if name[-1:].isspace() else ""


def _in_entry(section: str, name: str, entry: Mapping[str, Any]) -> Iterator[Mistake]:
    kind = entry.get("type")
    if section in ("sources", "destinations") and isinstance(kind, str) and kind.startswith("."):
        yield Mistake(
            (section, name, "type"),
            f"begins with a point: write the whole dotted path, such as `sources.{kind.strip('.')}`"
            if kind.strip(".")
            else "is no dotted path: write one, such as `module.function`",
        )
    for key in _REFERENCES.get(section, ()):
        for path, value in _texts((section, name, key), entry.get(key)):
            # the value of a variable is not known yet
            if value and "{" not in value and (problem := problem_of_name(value)):
                yield Mistake(path, problem)
    for key in _PATHS.get(section, ()):
        for path, value in _texts((section, name, key), entry.get(key)):
            if problem := problem_of_path(value):
                yield Mistake(path, problem)


def _entries(section: Any) -> Iterator[tuple[str, Any]]:
    for name, entry in section.items() if isinstance(section, Mapping) else ():
        if isinstance(name, str):
            yield name, entry


def _texts(path: EntryPath, value: Any) -> Iterator[tuple[EntryPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts((*path, number), item)
    elif isinstance(value, Mapping) and path[-1] == "credentials":
        yield from _texts((*path, "database"), value.get("database"))


def _shown(character: str) -> str:
    return f"`\\x{ord(character):02x}`"
