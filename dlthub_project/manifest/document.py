"""The content of a `dlt.yml`, as written, and where each entry and each mistake stands in it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.secrets import PUBLIC_FIELDS, looks_secret, may_name_secret

FILE_NAME = "dlt.yml"

EntryPath = tuple[Hashable, ...]
Position = tuple[int, int]
"""Line and column, from 0."""

# the most mistakes that are told: nobody reads more, and a hostile file could have 50,000
_MOST_PROBLEMS = 500

# the ends of a line for libyaml
_LINE_END = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


_WIDTH = 100
_KEY = re.compile(r"""(?P<indent>[\s-]*)(?P<name>"[^"]*"|'[^']*'|[^\s"'\[{#][^#:]*)\s*:(?:\s+|$)""")
# matches a whole line, piece by piece
_TOKEN = re.compile(
    r"""(?P<variable>(?P<quote>["']?)\{env\.\w+\}(?P=quote)(?![^\s,}\]]))|"""
    r"""(?P<key>(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,{}\[\]"':\#-][^,{}\[\]"':]{0,80})\s*:(?=[\s,}\]]|$))|"""
    r"""(?P<open>(?<![^\s\[{,])[\[{])|(?P<kept>\s+|[,}\]]|-(?=\s))|"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"?|'[^']*'?|[\[{]|[^\s,{}\[\]]+)"""
)
_END_OF_VALUE = re.compile(r"\s*(?:[,}\]]|$)")
# a longer line is not taken apart: a window of it is shown, or only its length
_LONG = 1_000
# how many lines above a line the names of its sections are looked for
_MOST_LINES_ABOVE = 200


class Mistake(NamedTuple):
    """One mistake in a manifest.

    Attributes:
        path: The path.
        message: What is wrong and what was expected.
        position: Line and column, from 0; None if the mistake stands where its path does.
    """

    path: EntryPath
    message: str
    position: Position | None = None


@dataclass(frozen=True)
class Document:
    """The content of one manifest file, as written.

    Attributes:
        path: The file.
        data: Its content; an empty file is an empty mapping.
        text: The file's text, for messages.
        positions: Line and column, from 0, of each entry by its path.
    """

    path: Path
    # content is not shown: there may be secrets in it
    data: dict[str, Any] = field(repr=False)
    text: str = field(repr=False)
    positions: dict[EntryPath, Position] = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines."""
        return _LINE_END.split(self.text)

    def position(self, path: EntryPath) -> Position | None:
        """Return where `path` stands, or the nearest entry above it that has a position."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions[path] if path else None

    def problem(self, path: EntryPath, message: str, position: Position | None = None) -> Problem:
        """Describe a mistake at `path`, which stands at `position` if that is given."""
        dotted = ".".join(printable(str(part)) for part in path)
        position = position or self.position(path)
        if position is None:
            return Problem(str(self.path), dotted, message)
        # libyaml finds what is missing at the end of a file behind that end
        line = min(position[0], len(self.lines) - 1)
        column = (
            min(position[1], len(self.lines[line]))
            if line == position[0]
            else len(self.lines[line])
        )
        shown = excerpt(self.lines, line, column)
        return Problem(f"{self.path}:{line + 1}:{column + 1}", dotted, message, shown)

    def error(self, mistakes: Iterable[Mistake]) -> ManifestError:
        """Return an error that describes `mistakes`, in the order of the file."""
        located = [
            (position or self.position(path), path, text) for path, text, position in mistakes
        ]
        located.sort(key=lambda found: found[0] or (0, 0))
        shown = located[:_MOST_PROBLEMS]
        problems = [self.problem(path, message, position) for position, path, message in shown]
        if more := len(located) - len(shown):
            problems.append(Problem(str(self.path), "", f"and {more:,} more mistakes"))
        return ManifestError(problems)


def printable(text: str) -> str:
    """Return `text` on one line, shortened, and without control characters."""
    shown = "".join(c if c.isprintable() else "�" for c in text[:81])
    return f"{shown[:79]}…" if len(text) > 80 else shown


def excerpt(lines: Sequence[str], row: int, column: int) -> str:
    """Return line `row` without its secrets, and a caret below its `column` (both from 0)."""
    line = lines[row]
    start = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    window = slice(start, start + _WIDTH)
    if len(line) > _LONG:
        near = line[:_LONG] + " " + line[max(0, start - _LONG) : start + _WIDTH]
        delicate = may_name_secret(near) or looks_secret(near)
        shown = _stars(line[window]) if delicate else line[window]
    else:
        shown = _without_secrets(lines, row)[window]
    shown = "".join(c if c.isprintable() or c == "\t" else "�" for c in shown)
    # tabs stay tabs, so that the caret stands below its place
    below = re.sub(r"[^\t]", " ", shown[: column - start])
    return f"    {shown}\n    {below}^"


def _without_secrets(lines: Sequence[str], row: int) -> str:
    line = lines[row]
    for name, value in _keys_above(lines, row):
        in_flow = value.startswith(("{", "["))
        if may_name_secret(name) and value and not in_flow and not value.startswith(("&", "#")):
            # a text of several lines
            return _stars(line)
        if may_name_secret(name) or (in_flow and may_name_secret(value)):
            return _mask_values(line)
    if may_name_secret(line) or looks_secret(line):
        return _mask_values(line)
    return line


def _keys_above(lines: Sequence[str], row: int) -> Iterator[tuple[str, str]]:
    """Yield the entries that line `row` belongs to: their names, and the text behind them."""
    text = lines[row].lstrip()
    # the items of a list may stand right below its name
    indent = len(lines[row]) - len(text) + text.startswith("-")
    if not text or "\t" in lines[row][:indent]:
        indent = _LONG
    for line in reversed(lines[max(0, row - _MOST_LINES_ABOVE) : row]):
        if indent == 0:
            return
        match = _KEY.match(line[:200])
        if match and len(match["indent"]) < indent:
            indent = len(match["indent"])
            yield match["name"], line[match.end() :].strip()


def _stars(text: str) -> str:
    return re.sub(r"\S", "*", text)


def _mask_values(line: str) -> str:
    """Return `line` with stars for all that is neither a key nor an environment variable.

    Values of names such as `type` or `host` stay, up to the next comma or bracket. A value has as
    many stars as characters, so that the caret keeps its place.
    """
    shown = []
    may_be_key, in_flow, name = True, False, ""
    for token in _TOKEN.finditer(line):
        kind, text = token.lastgroup, token[0]
        if kind == "value" and name in PUBLIC_FIELDS and _is_public(text, line[token.end() :]):
            pass
        elif kind == "value" or (kind == "key" and not may_be_key):
            text = _stars(text)
        if kind != "kept" or text.strip():
            is_name = kind == "key" and may_be_key
            name = text.rstrip(": \t").strip("'\"") if is_name else ""
        if kind == "open":
            may_be_key = in_flow = True
        elif text == ",":
            may_be_key = in_flow
        elif kind != "kept":
            may_be_key = False
        shown.append(text)
    return "".join(shown)


def _is_public(value: str, rest: str) -> bool:
    is_alone = _END_OF_VALUE.match(rest) is not None
    return is_alone and not (looks_secret(value) or may_name_secret(value))
