"""Checks a merged manifest against the models, and says in plain words what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dlthub_project.errors import known_names
from dlthub_project.manifest import models
from dlthub_project.manifest.document import Mistake
from dlthub_project.manifest.positions import EntryPath

_CLOSED_ENTRIES: Mapping[str, type[BaseModel]] = {
    "project": models.ProjectEntry,
    "datasets": models.DatasetEntry,
    "pipelines": models.PipelineEntry,
}
_IN_PLAIN_WORDS = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "a text",
    "list_type": "a list",
    "bool_type": "true or false",
}


def validate(merged: Mapping[str, Any]) -> list[Mistake]:
    """Return every mistake in a merged manifest.

    Args:
        merged: The manifest, with the profile's section laid over it, and its `profiles`.
    """
    try:
        models.ManifestModel.model_validate(merged)
    except ValidationError as error:
        found: dict[EntryPath, list[ErrorDetails]] = {}
        # without the input: it may hold secrets
        for detail in error.errors(include_url=False, include_input=False):
            found.setdefault(_path_in(merged, detail["loc"]), []).append(detail)
        return [
            Mistake(path, _message(path, details))
            for path, details in found.items()
            if not _is_explained_below(path, found)
        ]
    return []


def _is_explained_below(path: EntryPath, found: Mapping[EntryPath, Any]) -> bool:
    """Tell whether `path` is wrong only in that something below it is.

    A mapping with a wrong key, where a word may stand too, is wrong in two ways for pydantic.
    """
    return any(len(other) > len(path) and other[: len(path)] == path for other in found)


def _path_in(merged: Mapping[str, Any], location: Sequence[str | int]) -> EntryPath:
    """Drop what pydantic adds to a location: the member of a union that it tried."""
    path: EntryPath = ()
    value: Any = merged
    for index, part in enumerate(location):
        if isinstance(value, Mapping):
            # the last part may be a key that is missing
            if part in value or (index == len(location) - 1 and not _is_union_tag(part)):
                path = (*path, part)
                value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            path = (*path, part)
            value = value[part]
    return path


def _is_union_tag(part: str | int) -> bool:
    tags = ("str", "bool", models.ContractEntry.__name__)
    return isinstance(part, str) and ("[" in part or part in tags)


def _message(path: EntryPath, details: Sequence[ErrorDetails]) -> str:
    kinds = {detail["type"] for detail in details}
    if "extra_forbidden" in kinds:
        return f"unknown key. {known_names(str(path[-1]), _model_at(path).model_fields)}"
    if "missing" in kinds:
        return "is required"
    expected = dict.fromkeys(
        _IN_PLAIN_WORDS.get(detail["type"]) or detail["msg"].removeprefix("Input should be ")
        for detail in details
    )
    return f"must be {' or '.join(expected)}"


def _model_at(path: EntryPath) -> type[BaseModel]:
    """Return the model whose key `path` is."""
    length = 2 if path[0] == "project" else 3
    return _CLOSED_ENTRIES[str(path[0])] if len(path) == length else models.ContractEntry
