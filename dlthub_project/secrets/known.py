"""The secrets that this process knows by value: however they are spelt, and also parts of them."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from dlthub_project.secrets.candidates import (
    is_ordinary,
    is_secret_value,
    secret_variables,
    secrets_in,
)
from dlthub_project.secrets.masking import is_secret_name, without_spans
from dlthub_project.secrets.spellings import encodings, spellings

# shorter ones are masked only as whole words, and not at all in texts that users wrote
LONG = 6
# a part of a secret of that many characters is hidden
_PART = 12
# any such part contains a whole block of this length, counted from the secret's beginning
_BLOCK = _PART // 2
# up to that many secrets, a search for each is faster
_FEW = 500
# no secrets, even in place of one: values of dlt and of ours, and words that reports are full
# of, which people use as passwords of databases for tests
_COMMON = frozenset(
    (
        *("bigquery", "clickhouse", "databricks", "duckdb", "filesystem", "localhost"),
        *("default", "loader", "password", "pytest", "python", "secret", "secrets"),
        *("motherduck", "not-set", "postgres", "postgresql", "redshift", "snowflake", "sqlalchemy"),
        # the values that tests have for secrets that are not set
        *("1970-01-01", "dlthub_given://", "https://not-set.invalid", "not-set.invalid"),
        "not-set@not-set.invalid",
    )
)
# sections of a `secrets.toml` that people also use for other settings than secrets
_SETTINGS = frozenset(
    (
        *("data_writer", "destination", "extract", "load", "normalize", "pipelines", "providers"),
        *("runtime", "schema"),
    )
)
# cuts by terminals, pytest and tables in a text that is wider than they are, and colours
_CUT = re.compile(
    r"""\x1b\[[0-9;]*m|"""
    # only from where blanks begin: tried from each blank on, a text of many takes minutes
    r"""(?:["']|(?<![ \t|│┃║]))[ \t|│┃║]*\r?\n(?:E(?=\s))?[ \t|│┃║>]*["']?"""
)
# the pairs of a connection string, some of which are no secrets
_ODBC = re.compile(r"[\w ]+=[^;]*;")


class KnownSecrets:
    """Secrets by value: each of six characters or more is masked wherever it stands.

    Parts of longer ones are masked, too, because a text may be shortened within a secret.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # a mapping, because it keeps the order
        self._secrets: dict[str, None] = {}
        # secrets whose spellings are made when a text is masked: production seldom masks one
        self._new: list[str] = []
        # by each block of a spelling: the spelling, where the block begins, the length to hide
        self._blocks: dict[str, list[tuple[str, int, int]]] = {}
        self._has_spaces = False
        self._common: set[str] = set(_COMMON)

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def values(self) -> list[str]:
        """Return the secrets, in the order in which they were learned."""
        return list(self._secrets)

    def learn(self, value: Any, *, is_secret: bool) -> None:
        """Remember the secrets in a value: all of it, or those that names and URLs tell."""
        for secret in secrets_in(value, is_secret):
            if len(secret) >= LONG and secret not in self._secrets:
                self._add(secret)

    def learn_look_up(self, key: str, value: Any, is_secret: bool) -> None:
        """Remember the secrets in a value that dlt has found for a setting.

        Args:
            key: The name of the setting.
            value: The value.
            is_secret: Whether dlt's types call it a secret.
        """
        self.learn(value, is_secret=is_secret_value(key, value, is_secret))

    def learn_environment(self) -> None:
        """Remember the secrets of the environment, by the names of its variables."""
        for name, value in secret_variables():
            self._learn_text(name.rpartition("__")[2].lower(), value, is_secret=True)

    def learn_configuration(self, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Remember the secrets that dlt would find now, of six characters or more.

        Secrets are the values with names that secrets have, and all values of a `secrets.toml`
        outside of credentials and of dlt's own sections. A host or a bucket is no secret: a message
        has to name it. A plain word is none either, until dlt looks it up as a secret: it may be
        the name of a table.

        Args:
            documents: The name and the mapping of each provider.
        """
        self.learn_environment()
        self.learn_documents(documents)

    def learn_documents(self, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Remember the secrets of documents; see `learn_configuration`."""
        for provider, document in documents:
            for section, value in document.items():
                is_secret = "secrets" in provider and section not in _SETTINGS
                self._learn_document(section, value, is_secret=is_secret)

    def learn_paths(
        self, paths: Iterable[tuple[str, ...]], documents: Sequence[Mapping[str, Any]]
    ) -> None:
        """Remember what the environment and documents have at paths that dlt calls secrets."""
        for path in paths:
            self.learn_look_up(path[-1], os.environ.get("__".join(path).upper()), True)
            for document in documents:
                value: Any = document
                for part in path:
                    value = value.get(part) if isinstance(value, Mapping) else None
                self.learn_look_up(path[-1], value, True)

    def _learn_document(self, key: str, value: Any, *, is_secret: bool) -> None:
        if not isinstance(value, Mapping):
            self._learn_text(key, value, is_secret=is_secret or is_secret_name([key]))
            return
        for name, item in value.items():
            is_one = is_secret and key != "credentials" and name not in _SETTINGS
            self._learn_document(str(name), item, is_secret=is_one)

    def _learn_text(self, key: str, value: Any, *, is_secret: bool) -> None:
        # a text with a variable of the manifest is not the value itself
        if isinstance(value, str) and "{env." not in value:
            is_one = is_secret and is_secret_value(key, value, not is_ordinary(value))
            self.learn(value, is_secret=is_one)

    def exempt(self, words: Iterable[str]) -> None:
        """Never mask these words, such as the names in a project's manifest."""
        self._common.update(word.lower() for word in words)
        kept = [one for one in self._secrets if one.lower() not in self._common]
        if len(kept) < len(self._secrets):
            with self._lock:
                self._secrets, self._new = dict.fromkeys(kept), kept
                self._blocks = {}

    def forget(self) -> None:
        """Forget all secrets: for tests of this project alone."""
        self.__init__()  # type: ignore[misc]  # as new

    def masked(self, text: str) -> str:
        """Return a text without the secrets that are known, and without parts of them.

        Secrets that line breaks, frames of tables or colours have cut are found, too.
        """
        spans = self._found_spans(text)
        return without_spans(text, spans) if spans else text

    def is_in(self, text: str) -> bool:
        """Tell whether `masked` would change a text; of a long one without secrets at once."""
        if not self._secrets or len(text) < LONG:
            return False
        self._spell()
        blocks = list(self._blocks)
        if len(blocks) > _FEW or any(block in text for block in blocks):
            return next(iter(self._spans(text)), None) is not None or self._is_cut_in(text)
        return self._is_cut_in(text)

    def _is_cut_in(self, text: str) -> bool:
        return next(iter(self._cut_spans(text)), None) is not None

    def found_in(self, text: str) -> list[str]:
        """Return the parts of a text that `masked` would hide."""
        return [text[start:stop] for start, stop in self._found_spans(text)]

    def masked_in(
        self,
        value: Any,
        other: Callable[[Any], Any] | None = None,
        hidden: Callable[[str], str] | None = None,
    ) -> Any:
        """Return a value with the texts in its mappings, lists and tuples masked.

        Args:
            value: The value; it is not changed.
            other: Returns what is to stand for an object of any other type.
            hidden: Returns what is to stand for a text; `masked` by default.
        """
        if isinstance(value, str):
            return self.masked(value) if hidden is None else hidden(value)

        def inner(one: Any) -> Any:
            return self.masked_in(one, other, hidden)

        if type(value) is dict:
            return {inner(key): inner(item) for key, item in value.items()}
        if type(value) in (list, tuple, set):
            return type(value)(inner(item) for item in value)
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            made: Any = tuple.__new__(type(value), (inner(one) for one in value))
            for name, item in getattr(value, "__dict__", {}).items():
                setattr(made, name, inner(item))
            return made
        return value if other is None else other(value)

    def _found_spans(self, text: str) -> list[tuple[int, int]]:
        if not self._secrets or len(text) < LONG:
            return []
        self._spell()
        return [*self._spans(text), *self._cut_spans(text)]

    def _add(self, secret: str) -> None:
        is_folder = os.path.isabs(secret) and _is_public(secret)
        if is_folder or secret.lower() in self._common:
            return
        with self._lock:
            self._secrets[secret] = None
            self._new.append(secret)

    def _spell(self) -> None:
        if not self._new:
            return
        with self._lock:
            while self._new:
                secret = self._new[-1]
                for spelling in {*spellings(secret), *encodings(secret)}:
                    self._has_spaces = self._has_spaces or " " in spelling
                    if len(spelling) >= LONG:
                        self._add_spelling(spelling, _has_parts(secret))
                # emptied last: a thread that finds nothing left to spell must find all spellings
                self._new.pop()

    def _add_spelling(self, spelling: str, has_parts: bool) -> None:
        is_one = len(spelling) < _PART or not has_parts
        starts = [0] if is_one else range(0, len(spelling) - _BLOCK + 1, _BLOCK)
        for start in starts:
            places = self._blocks.setdefault(spelling[start : start + _BLOCK], [])
            places.append((spelling, start, len(spelling) if is_one else _PART))

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        # takes as long for many secrets as for one
        yield from self._spans_at(text, range(len(text) - _BLOCK + 1))

    def _spans_at(self, text: str, places: Iterable[int]) -> Iterator[tuple[int, int]]:
        blocks = self._blocks
        # by spelling and where it would begin: how far it was grown; what lies in there is the same
        ends: dict[tuple[str, int], int] = {}
        for found in [i for i in places if text[i : i + _BLOCK] in blocks]:
            for spelling, at, least in list(blocks[text[found : found + _BLOCK]]):
                if found < ends.get((spelling, found - at), 0):
                    continue
                start, stop = _grown(text, found, spelling, at)
                ends[spelling, found - at] = stop
                is_whole = stop - start == len(spelling)
                if is_whole or (stop - start >= least and not _is_public(text[start:stop])):
                    yield start, stop

    def _cut_spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of secrets that go on in the next line, or change their colour."""
        if "\n" not in text and "\x1b" not in text:
            return
        pieces, starts = _between(_CUT.finditer(text), text)
        yield from self._spans_over(pieces, starts, "")
        if self._has_spaces:
            # the end of a line takes the place of a space
            yield from self._spans_over(pieces, starts, " ")

    def _spans_over(
        self, pieces: list[str], starts: list[int], between: str
    ) -> Iterator[tuple[int, int]]:
        joined = between.join(pieces)
        if len(joined) < LONG:
            return
        # for each piece, where it begins in the joined text
        begins = [0, *accumulate(len(piece) + len(between) for piece in pieces)][:-1]
        near = {
            place
            for begin in begins[1:]
            for place in range(max(begin - _PART, 0), min(begin, len(joined) - _BLOCK) + 1)
        }
        for start, stop in self._spans_at(joined, sorted(near)):
            first, last = bisect_right(begins, start) - 1, bisect_left(begins, stop) - 1
            if first != last:
                yield (
                    starts[first] + min(start - begins[first], len(pieces[first])),
                    starts[last] + min(stop - begins[last], len(pieces[last])),
                )


KNOWN = KnownSecrets()
"""What this process has learned: whoever tells something to people asks it."""


def _between(cuts: Iterable[re.Match[str]], text: str) -> tuple[list[str], list[int]]:
    """Return the pieces of a text that cuts leave, and where each begins in it."""
    ends = [(0, 0), *(cut.span() for cut in cuts), (len(text), len(text))]
    pieces = [text[left[1] : right[0]] for left, right in pairwise(ends)]
    return pieces, [left[1] for left, _ in pairwise(ends)]


def _grown(text: str, found: int, secret: str, at: int) -> tuple[int, int]:
    """Return the longest span of a text, around a found block, that is the same as the secret."""
    start, stop = found, found + _BLOCK
    left, right = at, at + _BLOCK
    while start and left and text[start - 1] == secret[left - 1]:
        start, left = start - 1, left - 1
    while stop < len(text) and right < len(secret) and text[stop] == secret[right]:
        stop, right = stop + 1, right + 1
    return start, stop


def _has_parts(secret: str) -> bool:
    """Tell whether each part of a secret is secret; some parts of a URL, JSON or ODBC are names."""
    return "://" not in secret and secret.lstrip()[:1] not in ("{", "[") and not _ODBC.match(secret)


def _is_public(part: str) -> bool:
    """Tell whether a part of a secret is also part of a folder that tracebacks are full of."""
    folders = (os.getcwd(), os.path.expanduser("~"), sys.prefix, tempfile.gettempdir())
    return any(part.rstrip("/") in folder for folder in folders)
