"""Which values are secrets: by the names that they have, and by what they look like."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from dlthub_project.secrets.masking import (
    PUBLIC_FIELDS,
    is_secret_name,
    looks_secret,
    named_secrets,
)

_PASSWORD = re.compile(r"://[^\s:/]*:(?P<password>[^\s]+)@")
# the user of a URL without a password, which may be a token
_USER = re.compile(r"://(?P<user>[^\s:/@]+)@")
# variables of shells, which hold no passwords
_FOLDERS = frozenset(("PWD", "OLDPWD"))
_ORDINARY = re.compile(
    r"[^\W\d_]+(?:[ _./-]+[^\W\d_]+)*(?:[ _./-]\d{1,4})?|\d{4}-\d\d-\d\d\S*|\d+(?:\.\d+)*|\w+://\S*|[~.]{0,2}[/\\].*"
)


def secret_variables() -> Iterator[tuple[str, str]]:
    """Yield the environment variables with names that secrets have."""
    for name, value in os.environ.items():
        if _is_secret_variable(name):
            yield name, value


@lru_cache(maxsize=1_000)
def _is_secret_variable(name: str) -> bool:
    return name not in _FOLDERS and is_secret_name([name])


def secrets_in(value: Any, is_secret: bool) -> Iterator[str]:
    """Yield the secrets in a value: all of it, or those that names and URLs tell."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            is_one = (is_secret and key not in PUBLIC_FIELDS) or is_secret_value(str(key), item)
            yield from secrets_in(item, is_one)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from secrets_in(item, is_secret)
    elif isinstance(value, str):
        # in the environment, a mapping is a text
        yield from secrets_in(_of_json(value), is_secret)
        # a URL holds a secret even if nobody calls the URL one
        if "://" in value:
            for match in _PASSWORD.finditer(value):
                yield from (match["password"], unquote(match["password"]))
            users = (match["user"] for match in _USER.finditer(value))
            yield from (user for user in users if looks_secret(user))
        if "=" in value:
            # without the user (`key:`) that a URL may have
            yield from named_secrets(_PASSWORD.sub("://", value))
        if is_secret:
            yield value
    elif is_secret and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def is_secret_value(key: str, value: Any, is_hinted: bool = False) -> bool:
    """Tell whether the value of a setting is a secret, by its name or by dlt's hint."""
    if key == "credentials" and isinstance(value, str):
        # the place of a file or of a database without a password is no secret
        is_file = value.startswith(":") or value.endswith((".db", ".duckdb", ".sqlite"))
        is_place = is_file or "/" in value or "\\" in value
        return not is_place or "@" in value or "=" in value
    return is_hinted or is_secret_name([key])


def is_ordinary(text: str) -> bool:
    """Tell whether a text is a word, a date, a URL or a path, as no secret is by itself."""
    return _ORDINARY.fullmatch(text) is not None


def _of_json(text: str) -> Any:
    """Return the mapping or list that a text is; None for any other text."""
    if text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return None
