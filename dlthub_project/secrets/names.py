"""Which names secrets have: the one list, for keys, headers, arguments and variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

# dlt's types tell which values are secrets. Where nobody has asked dlt for a value yet, the name
# of the value decides. The words of a name stand apart by underscores, see `_words`.
_SECRET_NAME = re.compile(
    r"pass_?w|pass_?(phrase|code|key)|(^|_|db|user|pg|admin|root)pass_?\d*$|pwd|secret|token"
    r"|credential|jwt|salt$"
    r"|(api|access|private|account|storage|signing|license|encryption|client|ssh|shared|master"
    r"|subscription|service|consumer|functions?|(^|_)app(lication)?)_?key"
    r"|^key$|(^|_|basic|http)o?auth(?!or)|authoriz|bearer|cookie|dsn|conn(ection)?_?str|(^|_)pat$"
    r"|(^|_)sas(_|$)|^sas|(^|_)sig$|signature",
    re.IGNORECASE,
)
# A line of a broken file has lost its meaning: there, too much is masked rather than too little.
# The caret shows the place all the same.
_COARSE_NAME = re.compile(r"pass|auth|sas_|salt\b|\bkey\b", re.IGNORECASE)
_LEVEL = re.compile(r"__|\.")
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"[-\s]")
_VARIABLE = re.compile(r"\{env\.\w+\}")
_VARIABLE_NAME = re.compile(r"\{env\.(\w+)")


def is_secret_name(path: Iterable[str]) -> bool:
    """Tell whether one of the names of a path is one that secrets usually have.

    Args:
        path: The names. A name may be a path itself, as `SOURCES__SHOP__KEY` and `shop.key` are.
    """
    return any(_SECRET_NAME.search(_words(one)) for name in path for one in _LEVEL.split(name))


def may_name_secret(text: str) -> bool:
    """Tell whether a text, such as a line of a file, may have a name of secrets in it.

    It answers yes wherever `is_secret_name` does, and also for `author`: a line has no keys.
    """
    if _COARSE_NAME.search(text):
        return True
    words = re.findall(r"[A-Za-z][\w-]*", text)
    return is_secret_name(words) or is_secret_name("_".join(pair) for pair in pairwise(words))


def is_variable(value: Any) -> bool:
    """Tell whether a value of the manifest is an environment variable as a whole."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value) is not None


def names_secret_variable(value: Any) -> bool:
    """Tell whether a value of the manifest uses a variable with a name that secrets have."""
    if isinstance(value, Mapping):
        return any(map(names_secret_variable, value.values()))
    if isinstance(value, list):
        return any(map(names_secret_variable, value))
    return isinstance(value, str) and is_secret_name(_VARIABLE_NAME.findall(value))


def _words(name: str) -> str:
    """Return a name with underscores between its words: `X-Api-Key` and `dbPass` have none."""
    return _SEPARATOR.sub("_", _CASE.sub("_", name))
