"""Takes secrets out of what is shown, kept or raised: known ones by value, others by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, time
from functools import cached_property
from typing import Any

from dlthub_project.secrets.candidates import is_secret_value, secret_variables, secrets_in
from dlthub_project.secrets.known import KNOWN, LONG
from dlthub_project.secrets.masking import MASK, is_secret_name, masked_text
from dlthub_project.secrets.spellings import spellings

# keys with names of things in a trace: a password `orders` must not mask the pipeline `orders`
_IDENTIFIERS = frozenset(
    ("pipeline_name", "transaction_id", "span_id", "step", "load_id", "started_at", "finished_at")
)


_WIDTH = 100
# attributes with the texts of builtin errors, beside their arguments
_TEXTS_OF_ERRORS = ("code", "filename", "filename2", "msg", "strerror", "text", "value")
# the arguments of a URL may be anything
_WITH_PASSWORD = re.compile(r"[\w+.-]+://[^\s:/@]*:[^\s?@/]+@[^\s?@]+(?:\?\S*)?")


def shown(value: Any, *, secret: bool = False) -> str:
    """Return a configuration value for people to read, secrets masked.

    Args:
        value: The value.
        secret: Whether all of it is a secret. Of a URL with a password, user and host still show.
    """
    is_hidden = secret and value is not None
    if is_hidden and isinstance(value, str) and _WITH_PASSWORD.fullmatch(value):
        value, is_hidden = value.partition("?")[0], False
    text = MASK if is_hidden else _as_text(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _as_text(value: Any, secret: bool = False) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        items = (
            f"{k}: {_as_text(v, secret or is_secret_name([str(k)]))}" for k, v in value.items()
        )
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_as_text(item, secret) for item in value) + "]"
    if secret:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(KNOWN.masked(masked_text(str(value))).split())


class Redactor:
    """Masks secrets: known ones by value, others by the names that secrets usually have."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn_look_ups(self, look_ups: Iterable[tuple[str, Any, bool, str]]) -> None:
        """Remember the secrets among values that dlt has looked up.

        Secrets are the values that dlt's types call so, those of a `secrets.toml`, and those with
        names that secrets have, also within a mapping.

        Args:
            look_ups: For each value its key, the value, whether dlt calls it a secret, and the
                provider that had it.
        """
        for key, value, is_secret, provider in look_ups:
            self.learn(
                value, is_secret=is_secret_value(key, value, is_secret or "secret" in provider)
            )

    def learn_environment(self) -> None:
        """Remember the secrets of the environment."""
        for _, value in secret_variables():
            self.learn(value, is_secret=True)

    def learn(self, value: Any, *, is_secret: bool) -> None:
        """Remember the secrets in a value: all of it, or those that their names tell."""
        found = set(secrets_in(value, is_secret))
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
            # a number with the name of a secret may be the count of rows of a table `tokens`
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
        text = KNOWN.masked(text)
        return text if self._known is None else self._known.sub(MASK, text)

    def _masked(self, text: str) -> str:
        return masked_text(self.masked(text))

    @cached_property
    def _known(self) -> re.Pattern[str] | None:
        """The pattern of the secrets that only this redactor knows, the longest ones first."""
        spelt = {spelling for secret in self._secrets for spelling in spellings(secret)}
        ordered = sorted(spelt, key=len, reverse=True)
        found = [_as_word(secret) for secret in ordered]
        return re.compile("|".join(found)) if found else None


def _names_secret(key: str, mapping: Mapping[Any, Any]) -> bool:
    # in the look-ups of dlt's trace, `key` is the name of the value
    tells_look_up = key == "key" and "is_secret_hint" in mapping
    return not tells_look_up and is_secret_name([key])


def _as_word(secret: str) -> str:
    escaped = re.escape(secret)
    return escaped if len(secret) >= LONG else rf"(?<!\w){escaped}(?!\w)"


@contextmanager
def hidden_in_errors() -> Iterator[None]:
    """Mask the secrets in the errors that leave a block or, as a decorator, a function."""
    try:
        yield
    except BaseException as error:
        hide_in_error(error)
        raise


def hide_in_error(error: BaseException) -> None:
    """Mask the secrets in what an error says, and those that it goes back to.

    The receiver may print, log or send the error. The errors stay the same objects. Only causes
    that cannot be changed, such as groups and errors of pydantic, are replaced by errors with the
    masked text.
    """
    if not KNOWN:
        return
    for link in _links(error):
        _hide(link)
    for link in _links(error):
        for name in ("__cause__", "__context__"):
            earlier = getattr(link, name)
            if earlier is not None and _tells(earlier):
                hides_context = link.__suppress_context__
                setattr(link, name, _stand_in(earlier))
                link.__suppress_context__ = hides_context


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes, the members of groups, and errors in attributes of all these."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, *vars(link).values(), *link.args]
        waiting += getattr(link, "exceptions", ())


def _hide(error: BaseException) -> None:
    # some errors of libraries refuse changes
    with suppress(Exception):
        if (hidden := KNOWN.masked_in(error.args)) != error.args:
            error.args = hidden
    for name, value in list(vars(error).items()):
        with suppress(Exception):
            if (hidden := KNOWN.masked_in(value)) != value:
                setattr(error, name, hidden)
    for name in _TEXTS_OF_ERRORS:
        with suppress(Exception):
            value = getattr(error, name, None)
            if isinstance(value, str) and (hidden := KNOWN.masked(value)) != value:
                setattr(error, name, hidden)


def _tells(error: BaseException) -> bool:
    try:
        text = str(error)
    except Exception:
        return False
    return KNOWN.masked(text) != text


def _stand_in(error: BaseException) -> BaseException:
    kind = type(error)
    # a name of its own, so that no code takes it for the original class
    made = type(kind.__name__, (Exception,), {"__module__": kind.__module__})
    shown: BaseException = made(KNOWN.masked(str(error)))
    shown.__cause__, shown.__context__ = error.__cause__, error.__context__
    shown.__suppress_context__ = error.__suppress_context__
    return shown.with_traceback(error.__traceback__)
