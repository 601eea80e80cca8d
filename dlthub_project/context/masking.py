"""What may be shown of a configuration value: no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
_WIDTH = 100

# dlt knows which values are secrets only of those that its types describe; where nobody has asked
# for a value yet, its name decides
_SECRET_NAME = re.compile(
    r"passw|pass_?(phrase|code|key)|(^|_)pass$|pwd|secret|token|credential|jwt|salt$"
    r"|(api|access|private|account|storage|signing|license|encryption|client|ssh)_?key"
    r"|^key$|^auth$|_auth$|authorization|bearer|cookie|dsn|conn(ection)?_?str|^pat$|_pat$|^sas|signature",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\{env\.\w+\}")
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s]+(?=@)")
_VARIABLE_NAME = re.compile(r"\{env\.(\w+)")
_URL_ARGUMENT = re.compile(r"((?:^|[?&;\s])(?P<name>[^=&;\s]+)=)[^&;\s]+")


def is_secret_name(path: Iterable[str]) -> bool:
    """Tell whether one of the names of a path is one that secrets usually have."""
    # headers of a request, such as X-Api-Key, have hyphens
    return any(_SECRET_NAME.search(name.replace("-", "_")) for name in path)


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


def masked_urls(text: str) -> str:
    """Return a text with the passwords in its URLs masked, and their arguments that are secrets."""
    return _URL_ARGUMENT.sub(_masked_argument, _URL_PASSWORD.sub(rf"\1{MASK}", text))


def shown(value: Any, *, secret: bool = False) -> str:
    """Return a configuration value for people to read, secrets masked.

    Args:
        value: The value.
        secret: Whether all of it is a secret.
    """
    text = MASK if secret and value is not None else _text(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _text(value: Any, secret: bool = False) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        items = (f"{k}: {_text(v, secret or is_secret_name([str(k)]))}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(item, secret) for item in value) + "]"
    if secret:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    return masked_urls(" ".join(str(value).split()))


def _masked_argument(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}" if is_secret_name([match["name"]]) else match[0]
