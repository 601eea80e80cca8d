"""What a resource is recorded of: its function, by its code, and what that was called with."""

from __future__ import annotations

import datetime
import hashlib
import inspect
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

from dlt.extract import DltResource

from dlthub_project.dlt_internals import seams
from dlthub_project.recordings.masks import holds_secret
from dlthub_project.recordings.stand_ins import looks_personal
from dlthub_project.recordings.typed_values import PLAIN, NotRecordable, to_json
from dlthub_project.secrets import is_secret_name

_LAYOUT = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_NOT_CODE = (*_LAYOUT, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
_LONGEST = 200
_OF_DLT = "dlt."

HIDDEN = "(hidden)"
"""Stands for an argument that no file may show, and that is not compared."""


def function_of(resource: DltResource) -> dict[str, str] | None:
    """Return the name of a resource's function, and a digest of its code.

    The digest counts the functions of the same module that it calls, and neither comments, nor
    blanks, nor documentation. None for what is no code of the user: data alone, or dlt's own.
    """
    function = seams.written(resource)
    if function is None or function.module.startswith(_OF_DLT):
        return None
    codes = [function.code, *_called(function.code, function.names, {function.code})]
    texts = [_text(code) for code in codes]
    if not texts[0] or any("site-packages" in code.co_filename for code in codes[:1]):
        return None
    content = "\0".join(texts).encode("utf-8", "replace")
    digest = hashlib.sha256(content).hexdigest()[:12]
    return {"name": f"{function.module}.{function.name}", "code": digest}


def place_of(resource: DltResource) -> str:
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


def _called(code: CodeType, names: Mapping[str, Any], seen: set[CodeType]) -> Iterator[CodeType]:
    """Yield the code of the functions of the same module that a function names, and so on."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    for name in sorted({name for one in (code, *inner) for name in one.co_names}):
        function = inspect.unwrap(names[name]) if callable(names.get(name)) else None
        if not inspect.isfunction(function) or function.__code__ in seen:
            continue
        if function.__module__ == names.get("__name__"):
            seen.add(function.__code__)
            yield function.__code__
            yield from _called(function.__code__, names, seen)


@lru_cache(maxsize=1_000)
def _text(code: CodeType) -> str:
    """Return the source of code without its layout, in every version of Python the same."""
    try:
        source = inspect.cleandoc("\n" + inspect.getsource(code))
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (OSError, TypeError, tokenize.TokenError, SyntaxError):
        return ""
    kept: list[str] = []
    for index, token in enumerate(tokens):
        is_alone = token.type == tokenize.STRING and tokens[index + 1].type == tokenize.NEWLINE
        before = next((t for t in reversed(tokens[:index]) if t.type != tokenize.NL), None)
        if is_alone and before is not None and before.type in _LAYOUT:
            # documentation
            continue
        if token.type not in _NOT_CODE:
            kept.append(token.string)
    # Python 3.12 has the parts of an f-string apart, and no braces doubled
    text = re.sub(r"\s+", "", "".join(kept)).replace("{{", "{").replace("}}", "}")
    return re.sub(r",([)\]}])", r"\1", text)
