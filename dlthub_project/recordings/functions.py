"""What a resource is recorded of: its function, by its code, and what that was called with."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from dlt.extract import DltResource

from dlthub_project.dlt_internals import resources, seams
from dlthub_project.recordings.code import code_with_what_it_uses
from dlthub_project.recordings.masks import holds_secret
from dlthub_project.recordings.personal_values import looks_personal
from dlthub_project.recordings.typed_values import PLAIN, NotRecordable, to_json
from dlthub_project.secrets import is_secret_name

_LONGEST = 200
_INSTALLED = {"site-packages", "dist-packages"}
_OF_DLT = "dlt."

HIDDEN = "(hidden)"
"""Stands for an argument that no file may show, and that is not compared."""


def function_of(resource: DltResource) -> dict[str, str] | None:
    """Return the name of a resource's function, and a digest of its code.

    The digest counts the functions, classes and values of the same module that it uses, and neither
    comments, nor blanks, nor documentation. None for what is no code of the user: data alone, or
    dlt's own.
    """
    function = seams.written(resource)
    if function is None or function.module.startswith(_OF_DLT):
        return None
    values = [*function.values.values(), *resources.explicit_arguments(resource).values()]
    texts = code_with_what_it_uses(function.code, function.module, values)
    if not texts[0] or not _INSTALLED.isdisjoint(function.code.co_filename.split(os.sep)):
        return None
    content = "\0".join(texts).encode("utf-8", "replace")
    digest = hashlib.sha256(content).hexdigest()[:12]
    return {"name": f"{function.module}.{function.name}", "code": digest}


def location_in_code(resource: DltResource) -> str:
    """Return the file and line of a resource's function, for errors."""
    function = seams.written(resource)
    if function is None:
        return ""
    file = os.path.relpath(function.code.co_filename)
    return f"{file}:{function.code.co_firstlineno}"


def arguments_of(resource: DltResource) -> dict[str, Any]:
    """Return what a resource extracts with, as far as a file may show it: no objects.

    Secrets, and paths of this machine, are `HIDDEN`; what is long, or looks personal, is a digest.
    """
    found: dict[str, Any] = {}
    for name, value in sorted(seams.arguments_of(resource).items()):
        if value is None or is_secret_name([name]):
            continue
        try:
            shown = to_json(_without_secret_names(value))
        except NotRecordable:
            continue
        text = json.dumps(shown, sort_keys=True, ensure_ascii=False)
        if holds_secret(text) or _is_of_machine(value):
            shown = HIDDEN
        elif len(text) > _LONGEST or _is_personal(value, ()):
            digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
            shown = {"$digest": digest[:12]}
        found[name] = shown
    return found


def _without_secret_names(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    if isinstance(value, Mapping):
        return {
            key: _without_secret_names(one)
            for key, one in value.items()
            if not is_secret_name([str(key)])
        }
    if isinstance(value, list | tuple):
        return [_without_secret_names(one) for one in value]
    return value


def _is_personal(value: Any, path: tuple[str, ...]) -> bool:
    """Tell whether a value, or one in it, looks personal; of an argument by its form alone."""
    if isinstance(value, Mapping):
        return any(_is_personal(one, (*path, str(key))) for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_is_personal(one, path) for one in value)
    return value is not None and looks_personal(path, value)


def _is_of_machine(value: Any) -> bool:
    is_path = isinstance(value, str) and (os.path.isabs(value) or value.startswith("file:"))
    return is_path or isinstance(value, datetime.tzinfo)
