"""Takes secrets out of what is kept of a run."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from dlthub_project.context import MASK, is_secret_name, masked_urls
from dlthub_project.dlt_internals import configuration

if TYPE_CHECKING:
    import dlt

# what names things in a trace: a password `orders` does not rename the pipeline `orders`
_IDENTIFIERS = frozenset(
    ("pipeline_name", "transaction_id", "span_id", "step", "load_id", "started_at", "finished_at")
)
# of shells, and no passwords
_FOLDERS = frozenset(("PWD", "OLDPWD"))
# shorter ones are masked only as whole words
_LONG = 6
_LINE = 12
_PASSWORD = re.compile(r"://[^\s:/@]*:(?P<password>[^\s]+)@")
_NAMED = re.compile(
    r"""(?P<name>[A-Za-z_][\w.-]*)(?P<between>["']?\s*[:=]\s*)"""
    r"""(?P<value>"[^"]*"|'[^']*'|[^\s"',;&{}()\[\]]+)"""
)
_SCHEME = re.compile(r"\b(?P<scheme>Bearer|Basic|Token)\s+[\w.~+/=-]{6,}", re.IGNORECASE)


class Redactor:
    """Masks secrets: known ones by value, others by the names that secrets usually have."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn_look_ups(self) -> None:
        """Remember the secrets that dlt has looked up for the step that ends.

        Secret is what dlt's types call so, what comes from a `secrets.toml`, and what has a name
        that secrets have, also within a mapping.
        """
        for key, value, is_secret, provider in configuration.looked_up_values():
            self.learn(value, is_secret=_is_secret(key, value, is_secret or "secret" in provider))

    def learn_surroundings(self, pipeline: dlt.Pipeline) -> None:
        """Remember the secrets of the environment, and those that code gave to destinations."""
        for _, value in _secret_variables():
            self.learn(value, is_secret=True)
        for destination in (pipeline.destination, pipeline.staging):
            if destination is not None:
                self.learn(destination.config_params, is_secret=False)

    def learn_configuration(self) -> None:
        """Remember the secrets that dlt would find now, of six characters or more.

        Secret is what has a name that secrets have, and all that sources have in a `secrets.toml`
        outside of credentials. Hosts and users are none: what tells of them is to be understood.
        """
        for name, value in _secret_variables():
            self._learn_long(name.rpartition("__")[2].lower(), value, is_secret=True)
        for provider, document in configuration.configured_documents():
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
