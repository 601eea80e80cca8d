"""Takes known secrets out of texts and values, however they are spelt."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from dlthub_project.secrets.masking import MASK, is_secret_name, masked_text

# what names things in a trace: a password `orders` does not rename the pipeline `orders`
_IDENTIFIERS = frozenset(
    ("pipeline_name", "transaction_id", "span_id", "step", "load_id", "started_at", "finished_at")
)
_PASSWORD = re.compile(r"://[^\s:/]*:(?P<password>[^\s]+)@")
# of shells, and no passwords
_FOLDERS = frozenset(("PWD", "OLDPWD"))
# shorter ones are masked only as whole words
_LONG = 6
_LINE = 12


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
        return self._redacted(value, is_secret=False)

    def _redacted(self, value: Any, *, is_secret: bool) -> Any:
        if isinstance(value, str):
            return MASK if is_secret and value else self._masked(value)
        if value is None or isinstance(value, bool | int | float | date | time):
            # a number by a name of secrets is also a count of rows of a table `tokens`
            return value
        if callable(getattr(value, "asdict", None)):
            return self._redacted(value.asdict(), is_secret=is_secret)
        if isinstance(value, Mapping):
            return {
                str(key): item
                if key in _IDENTIFIERS
                else self._redacted(item, is_secret=is_secret or _names_secret(str(key), value))
                for key, item in value.items()
                if item is not None
            }
        if isinstance(value, Iterable) and not isinstance(value, bytes):
            return [self._redacted(item, is_secret=is_secret) for item in value]
        return MASK if is_secret else self._masked(str(value))

    def masked(self, text: str) -> str:
        """Return a text without the secrets that are known."""
        return text if self._known is None else self._known.sub(MASK, text)

    def _masked(self, text: str) -> str:
        return masked_text(self.masked(text))

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


def _names_secret(key: str, mapping: Mapping[Any, Any]) -> bool:
    # where dlt's trace tells of a look-up, `key` is the name of the value
    tells_look_up = key == "key" and "is_secret_hint" in mapping
    return not tells_look_up and is_secret_name([key])


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
