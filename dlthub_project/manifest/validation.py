"""Checks a merged manifest against the models, and says in plain words what is wrong."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dlthub_project.errors import known_names
from dlthub_project.manifest import models, profiles
from dlthub_project.manifest.check_entries import mistakes_in_checks
from dlthub_project.manifest.document import Document, EntryPath, Mistake
from dlthub_project.manifest.names import mistakes_in_names
from dlthub_project.manifest.settings import (
    Settings,
    read_settings,
    substitute_all,
    unknown_variable,
)

_IN_PLAIN_WORDS = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "a text",
    "list_type": "a list",
    "bool_type": "true or false",
    "int_type": "a number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_pattern_mismatch": 'a variable, such as "{env.NAME}"',
}
# nobody reads more, and to guess what was meant takes seconds for 50,000 mistakes
_MOST_MESSAGES = 500
_LONGEST_NAME = 80
_MOST_KEYS = 100
# `piplines` and `source` are that similar, `process` is not
_NEAR = 0.8


# profiles times entries that are checked in half a second
_MOST_CHECKS = 200_000


def validate(merged: Mapping[str, Any]) -> list[Mistake]:
    """Return every mistake in a merged manifest.

    Args:
        merged: The manifest, with the profile's section laid over it, and its `profiles`.
    """
    found: dict[EntryPath, list[ErrorDetails]] = {}
    for detail in _details(merged):
        found.setdefault(_path_in(merged, detail), []).append(detail)
    # pydantic reports a mapping with a wrong key twice where a word may stand, too
    above = {path[:length] for path in found for length in range(len(path))}
    wrong = [(path, details) for path, details in found.items() if path not in above]
    return [
        Mistake(path, _message(merged, path, details) if number < _MOST_MESSAGES else "is wrong")
        for number, (path, details) in enumerate(wrong)
    ] + [*_misspelt_sections(merged), *_unknown_variables(merged)]


def _misspelt_sections(merged: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the top-level keys that are misspelt sections: by their names and their content.

    Any other key is configuration of dlt. `destination` is dlt's own section: nobody would read it,
    because the entries of `destinations` take its place.
    """
    if "destination" in merged:
        yield Mistake(("destination",), "is read by nobody. Did you mean `destinations`?")
    sections = [name for name in models.ManifestModel.model_fields if name != "project"]
    for key, entries in merged.items():
        is_known = key in models.ManifestModel.model_fields or key == "destination"
        if is_known or not isinstance(key, str) or len(key) > _LONGEST_NAME:
            continue
        near = difflib.get_close_matches(key, sections, n=1, cutoff=_NEAR)
        if near and isinstance(entries, Mapping):
            known = {*_keys_beside((near[0], "", "")), *(sections if near[0] == "profiles" else ())}
            if any(isinstance(entry, Mapping) and known & set(entry) for entry in entries.values()):
                yield Mistake((key,), f"is no section. Did you mean `{near[0]}`?")


def _unknown_variables(merged: Mapping[str, Any]) -> list[Mistake]:
    """Return the values of destinations with a variable that is almost one of ours."""
    entries = merged.get("destinations")
    mistakes: list[Mistake] = []

    def look_at(text: str, path: EntryPath) -> str:
        # a layout has dlt's own placeholders
        if path[2:3] != ("layout",) and (wrong := unknown_variable(text, least_likeness=_NEAR)):
            mistakes.append(Mistake(path, wrong))
        return text

    if isinstance(entries, Mapping):
        substitute_all(entries, look_at, ("destinations",))
    return mistakes


def _details(merged: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        models.ManifestModel.model_validate(merged)
    except ValidationError as error:
        # without the input, which may hold secrets
        return error.errors(include_url=False, include_input=False)
    return []


def _path_in(merged: Mapping[str, Any], detail: ErrorDetails) -> EntryPath:
    """Drop what pydantic adds to a location: the member of a union that it tried."""
    path: EntryPath = ()
    value: Any = merged
    location = detail["loc"]
    for part in location[:-1] if detail["type"] == "missing" else location:
        if _has(value, part):
            path = (*path, part)
            value = value[part]
    return (*path, location[-1]) if detail["type"] == "missing" else path


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int)
    return isinstance(value, Mapping) and part in value


def _message(merged: Mapping[str, Any], path: EntryPath, details: Sequence[ErrorDetails]) -> str:
    kinds = {detail["type"] for detail in details}
    if "extra_forbidden" in kinds:
        known = _keys_beside(path) if len(str(path[-1])) <= _LONGEST_NAME else ()
        return f"unknown key. {known_names(str(path[-1]), known)}" if known else "unknown key"
    if "missing" in kinds:
        return f"is required: {_description(path)}{_misspelt(merged, path)}"
    if "invalid_key" in kinds:
        return "has a name that YAML does not read as text; quote it"
    expected = dict.fromkeys(map(_expected, details))
    return f"must be {' or '.join(expected)}{_nearest(_value_at(merged, path), details)}"


def _misspelt(merged: Mapping[str, Any], path: EntryPath) -> str:
    """Say which key of an entry probably is a misspelt required key."""
    entry = _value_at(merged, path[:-1])
    keys = [key for key in entry or () if isinstance(key, str) and len(key) <= _LONGEST_NAME]
    near = difflib.get_close_matches(str(path[-1]), keys[:_MOST_KEYS], n=1)
    return f". Is that what `{near[0]}` means?" if near else ""


def _expected(detail: ErrorDetails) -> str:
    if words := _IN_PLAIN_WORDS.get(detail["type"]):
        return words
    return detail["msg"].removeprefix("Input should be ")


def _nearest(value: Any, details: Sequence[ErrorDetails]) -> str:
    """Say which of the allowed words is nearest to the one that stands there."""
    words = [
        word
        for detail in details
        if detail["type"] == "literal_error"
        for word in re.findall(r"'(\w+)'", detail.get("ctx", {}).get("expected", ""))
    ]
    near = []
    if isinstance(value, str) and len(value) <= _LONGEST_NAME:
        near = difflib.get_close_matches(value, words, n=1)
    return f". Did you mean `{near[0]}`?" if near else ""


def _value_at(merged: Mapping[str, Any], path: EntryPath) -> Any:
    value: Any = merged
    for part in path:
        value = value[part]
    return value


def _keys_beside(path: EntryPath) -> list[str]:
    """Return the keys that may stand where the last of `path` does."""
    return [key for model in _models_at(path[:-1]) for key in model.model_fields]


def _description(path: EntryPath) -> str:
    fields = [model.model_fields.get(str(path[-1])) for model in _models_at(path[:-1])]
    return next(field.description or "" for field in fields if field is not None)


def _models_at(path: EntryPath) -> list[type[BaseModel]]:
    """Return the models that an entry at `path` may have."""
    annotations: list[Any] = [models.ManifestModel]
    for part in path:
        annotations = [below for each in annotations for below in _below(each, part)]
    return [found for each in annotations for found in _members(each) if _is_model(found)]


def _below(annotation: Any, part: Any) -> Iterator[Any]:
    for member in _members(annotation):
        if _is_model(member):
            if part in member.model_fields:
                yield member.model_fields[part].annotation
        elif get_origin(member) in (dict, list):
            yield get_args(member)[-1]


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the types that `annotation` is a union of."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    # Python 3.10 calls `list[str]` a type, and then refuses to say of what it is a subclass
    return (
        isinstance(annotation, type)
        and get_origin(annotation) is None
        and issubclass(annotation, BaseModel)
    )


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
    declared = document.data.get("profiles")
    mistakes += validate({**merged, "profiles": declared})
    mistakes += mistakes_in_names(merged, declared)
    between = ("caches", "transformations", "pipelines")
    if not any(mistake.path[0] in between for mistake in mistakes):
        mistakes += mistakes_between_entries(merged)
    if not any(mistake.path[0] == "datasets" for mistake in mistakes):
        mistakes += mistakes_in_checks(merged.get("datasets") or {})
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
    """Return every mistake in `document` under any of its profiles, each once.

    It checks only the first profiles of a file with very many profiles and entries.
    """
    names = dict.fromkeys(("dev", *profiles.declared_profiles(document)))
    most = max(1, _MOST_CHECKS // (len(document.positions) + 1))
    found: dict[Mistake, None] = {}
    for name in list(names)[:most]:
        found.update(dict.fromkeys(check(document, name, {}).mistakes))
    return list(found)


def mistakes_between_entries(merged: Mapping[str, Any]) -> list[Mistake]:
    """Return the mistakes between entries of a manifest of the right shape.

    Args:
        merged: The manifest, with the profile's section laid over it.
    """
    caches = merged.get("caches") or {}
    found = list(_without_cache(merged.get("transformations") or {}, caches))
    found += _after_unknown(merged.get("pipelines") or {})
    for name, cache in caches.items():
        found += _of_one_name(name, (cache or {}).get("inputs") or ())
        found += _written_twice(name, (cache or {}).get("outputs") or ())
        found += _without_key(name, (cache or {}).get("outputs") or ())
    return found


def _after_unknown(pipelines: Mapping[str, Any]) -> Iterator[Mistake]:
    for name, entry in pipelines.items():
        after = (entry or {}).get("after") or []
        for number, other in enumerate([after] if isinstance(after, str) else after):
            path: EntryPath = ("pipelines", name, "after")
            path = path if isinstance(after, str) else (*path, number)
            if other == name:
                yield Mistake(path, "names the pipeline itself. Name those that run before it")
            elif other not in pipelines and "{env." not in other:
                yield Mistake(path, f"`{other}` is no pipeline. {known_names(other, pipelines)}")


def _without_cache(
    transformations: Mapping[str, Any], caches: Mapping[str, Any]
) -> Iterator[Mistake]:
    for name, entry in transformations.items():
        cache = (entry or {}).get("cache")
        if cache is not None and cache not in caches and "{env." not in cache:
            path = ("transformations", name, "cache")
            yield Mistake(path, f"`{cache}` is no cache. {known_names(cache, caches)}")


def _of_one_name(cache: str, inputs: Any) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for number, entry in enumerate(inputs):
        for name, in_cache in (entry.get("tables") or {}).items():
            path: EntryPath = ("caches", cache, "inputs", number, "tables", name)
            table = f"{entry['dataset']}.{name}"
            if other := owners.get(in_cache.lower()):
                yield Mistake(
                    path,
                    f"{table} is to be table `{in_cache}` of the cache, and so is {other}. Give "
                    "one of them another name there",
                )
            owners.setdefault(in_cache.lower(), table)


def _written_twice(cache: str, outputs: Any) -> Iterator[Mistake]:
    owners: dict[tuple[str, str], str] = {}
    for number, entry in enumerate(outputs):
        for name, there in (entry.get("tables") or {}).items():
            if other := owners.get((entry["dataset"], there)):
                yield Mistake(
                    ("caches", cache, "outputs", number, "tables", name),
                    f"`{name}` is written to {entry['dataset']}.{there}, and so is `{other}`. "
                    "Give one of them another name there",
                )
            owners.setdefault((entry["dataset"], there), name)


def _without_key(cache: str, outputs: Any) -> Iterator[Mistake]:
    for number, entry in enumerate(outputs):
        is_merged = entry.get("write_disposition") == "merge"
        if is_merged and not (entry.get("primary_key") or entry.get("merge_key")):
            path = ("caches", cache, "outputs", number, "write_disposition")
            yield Mistake(path, "merge needs `primary_key` or `merge_key` beside it")
