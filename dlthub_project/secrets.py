"""What a secret is, and how it is masked: by its name, in URLs, by its value.

Everything that is shown, told or stored of values asks here. Knows no dlt: what dlt has looked up
is handed in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from functools import cached_property
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
_WIDTH = 100

# dlt knows which values are secrets only of those that its types describe; where nobody has asked
# for a value yet, its name decides
_SECRET_NAME = re.compile(
    r"passw|pass_?(phrase|code|key)|(^|_)pass$|pwd|secret|token|credential|jwt|salt$"
    r"|(api|access|private|account|storage|signing|license|encryption|client|ssh)_?key"
    r"|^key$|(^|_)o?auth(?!or)|authoriz|bearer|cookie|dsn|conn(ection)?_?str|(^|_)pat$"
    r"|(^|_)sas(_|$)|^sas|^sig$|signature",
    re.IGNORECASE,
)
# what looks like a secret, whatever it is called
_SECRET_VALUE = re.compile(
    # a URL with a password
    r"://[^\s/@]{0,200}:[^\s@]{1,200}@|"
    # a long run of letters and digits, but no word, path or variable
    r"(?<![\w./{-])(?=[A-Za-z_\-+=]{0,40}\d)(?=[\d_\-+=]{0,40}[A-Za-z])[\w\-+=]{20,}(?![\w.}/{-])|"
    r"\b(?:gh[pousr]_|github_pat_|sk-|xox[a-z]-|AKIA|eyJ|glpat-)\w|-----BEGIN"
)
_VARIABLE = re.compile(r"\{env\.\w+\}")
_VARIABLE_NAME = re.compile(r"\{env\.(\w+)")
_PASSWORD = re.compile(r"://[^\s:/@]*:(?P<password>[^\s]+)@")
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s]+(?=@)")
_URL_ARGUMENT = re.compile(r"((?:^|[?&;\s])(?P<name>[^=&;?\s]+)=)[^&;\s]+")
_NAMED = re.compile(
    r"""(?P<name>[A-Za-z_][\w.-]*)(?P<between>["']?\s*[:=]\s*)"""
    r"""(?P<value>"[^"]*"|'[^']*'|[^\s"',;&{}()\[\]]+)"""
)
_SCHEME = re.compile(r"\b(?P<scheme>Bearer|Basic|Token)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
# in front of a host, these may begin another part of a URL
_AMBIGUOUS = re.compile(r"[?#;]")
# what names things in a trace: a password `orders` does not rename the pipeline `orders`
_IDENTIFIERS = frozenset(
    ("pipeline_name", "transaction_id", "span_id", "step", "load_id", "started_at", "finished_at")
)
# of shells, and no passwords
_FOLDERS = frozenset(("PWD", "OLDPWD"))
# shorter ones are masked only as whole words
_LONG = 6
_LINE = 12


def is_secret_name(path: Iterable[str]) -> bool:
    """Tell whether one of the names of a path is one that secrets usually have."""
    # headers of a request, such as X-Api-Key, have hyphens
    return any(_SECRET_NAME.search(name.replace("-", "_")) for name in path)


def may_name_secret(text: str) -> bool:
    """Tell whether one of the words of a text, such as a line of a file, is a name of secrets."""
    words = re.findall(r"[A-Za-z][\w-]*", text)
    return is_secret_name(words) or is_secret_name("_".join(pair) for pair in pairwise(words))


def looks_secret(text: str) -> bool:
    """Tell whether something in a text looks like a secret, whatever it is called."""
    return _SECRET_VALUE.search(text) is not None


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


def public_url(url: str) -> str:
    """Return a URL, or a path, without user, password and arguments.

    A password that is not quoted may have any character of a URL's own: where it is not clear what
    is the host, neither is shown.
    """
    scheme, separator, rest = url.rpartition("://") if url.count("://") == 1 else ("", "", url)
    if not separator:
        return url.partition("?")[0] if "@" not in url and "://" not in url else MASK
    user, at, place = rest.rpartition("@")
    if _AMBIGUOUS.search(user):
        return f"{scheme}://{MASK}"
    shown = urlsplit(f"{scheme}://{place}")
    shown_place = f"{shown.netloc}{shown.path}".partition(";")[0]
    if not at:
        return f"{scheme}://{shown_place}"
    # the container of an Azure URL stands where a user may stand
    container = user if ":" not in user and "/" not in user else MASK
    return f"{scheme}://{container}@{shown_place}"


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


class Redactor:
    """Masks secrets: known ones by value, others by the names that secrets usually have."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn_look_ups(self, look_ups: Iterable[tuple[str, Any, bool, str]]) -> None:
        """Remember the secrets among values that dlt has looked up.

        Secret is what dlt's types call so, what comes from a `secrets.toml`, and what has a name
        that secrets have, also within a mapping.

        Args:
            look_ups: Of each value its key, the value, whether dlt calls it a secret, and the
                provider that had it.
        """
        for key, value, is_secret, provider in look_ups:
            self.learn(value, is_secret=_is_secret(key, value, is_secret or "secret" in provider))

    def learn_environment(self) -> None:
        """Remember the secrets of the environment."""
        for _, value in _secret_variables():
            self.learn(value, is_secret=True)

    def learn_configuration(self, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Remember the secrets that dlt would find now, of six characters or more.

        Secret is what has a name that secrets have, and all that sources have in a `secrets.toml`
        outside of credentials. A host or a user is none: a message has to name them.

        Args:
            documents: Of each provider its name, and the mapping that it has.
        """
        for name, value in _secret_variables():
            self._learn_long(name.rpartition("__")[2].lower(), value, is_secret=True)
        for provider, document in documents:
            for section, value in document.items():
                is_secret = "secrets" in provider and section == "sources"
                self._learn_document(section, value, is_secret=is_secret)

    def _learn_document(self, key: str, value: Any, *, is_secret: bool) -> None:
        if not isinstance(value, Mapping):
            self._learn_long(key, value, is_secret=is_secret or is_secret_name([key]))
            return
        for name, item in value.items():
            self._learn_document(str(name), item, is_secret=is_secret and key != "credentials")

    def _learn_long(self, key: str, value: Any, *, is_secret: bool) -> None:
        if isinstance(value, str) and len(value) >= _LONG:
            self.learn(value, is_secret=is_secret and _is_secret(key, value, is_secret))

    def learn(self, value: Any, *, is_secret: bool) -> None:
        """Remember the secrets in a value: all of it, or those that their names tell."""
        found = set(_secrets_in(value, is_secret))
        if found - self._secrets:
            self._secrets |= found
            self.__dict__.pop("_known", None)

    def redacted(self, value: Any) -> Any:
        """Return `value` made of plain types, without secrets and without what is None."""
        if isinstance(value, str):
            return self._masked(value)
        if value is None or isinstance(value, bool | int | float | date | time):
            return value
        if callable(getattr(value, "asdict", None)):
            return self.redacted(value.asdict())
        if isinstance(value, Mapping):
            return {
                str(key): item if key in _IDENTIFIERS else self.redacted(item)
                for key, item in value.items()
                if item is not None
            }
        if isinstance(value, Iterable) and not isinstance(value, bytes):
            return [self.redacted(item) for item in value]
        return self._masked(str(value))

    def masked(self, text: str) -> str:
        """Return a text without the secrets that are known."""
        return text if self._known is None else self._known.sub(MASK, text)

    def _masked(self, text: str) -> str:
        text = self.masked(text)
        text = _SCHEME.sub(rf"\g<scheme> {MASK}", masked_urls(text))
        return _NAMED.sub(_mask_named, text)

    @cached_property
    def _known(self) -> re.Pattern[str] | None:
        """Find every known secret, the longest ones first."""
        ordered = sorted(self._secrets, key=len, reverse=True)
        found = [_as_word(secret) for secret in ordered]
        return re.compile("|".join(found)) if found else None


def _secret_variables() -> Iterator[tuple[str, str]]:
    """Yield the environment variables with names that secrets have."""
    for name, value in os.environ.items():
        if name not in _FOLDERS and is_secret_name([name]):
            yield name, value


def _secrets_in(value: Any, is_secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets_in(item, is_secret or _is_secret(str(key), item))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _secrets_in(item, is_secret)
    elif isinstance(value, str):
        # a mapping of the environment is a text
        yield from _secrets_in(_of_json(value), is_secret)
        # also of a URL that nobody calls a secret
        for match in _PASSWORD.finditer(value):
            yield from _spellings(match["password"])
        if is_secret:
            yield from _spellings(value)
    elif is_secret and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _is_secret(key: str, value: Any, is_hinted: bool = False) -> bool:
    if key == "credentials" and isinstance(value, str):
        # the place of a file, or of a database that asks for no password
        is_place = "/" in value or "\\" in value
        return not is_place or "@" in value or "=" in value
    return is_hinted or is_secret_name([key])


def _of_json(text: str) -> Any:
    """Return the mapping or list that a text is; None for any other text."""
    if text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return None


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it is, in URLs, in texts of Python and JSON, and line by line."""
    lines = [line for line in secret.splitlines() if len(line.strip()) >= _LINE]
    spelt = (
        secret,
        unquote(secret),
        quote(secret, safe=""),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        *lines,
    )
    yield from (text for text in spelt if text.strip())


def _as_word(secret: str) -> str:
    escaped = re.escape(secret)
    return escaped if len(secret) >= _LONG else rf"(?<!\w){escaped}(?!\w)"


def _mask_named(match: re.Match[str]) -> str:
    if not is_secret_name([match["name"]]):
        return match[0]
    value = match["value"]
    quotation = value[0] if value[0] in "\"'" else ""
    return f"{match['name']}{match['between']}{quotation}{MASK}{quotation}"
