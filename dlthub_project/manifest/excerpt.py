"""Shows the line of a manifest that has a mistake: with a caret below it, and without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dlthub_project.secrets import looks_secret, may_name_secret

_WIDTH = 100

_KEY = re.compile(r"""(?P<indent>[\s-]*)(?P<name>"[^"]*"|'[^']*'|[^\s"'\[{#][^#:]*)\s*:(?:\s+|$)""")
# all of a line, piece by piece
_TOKEN = re.compile(
    r"""(?P<variable>(?P<quote>["']?)\{env\.\w+\}(?P=quote)(?![^\s,}\]]))|"""
    r"""(?P<key>(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,{}\[\]"':\#-][^,{}\[\]"':]{0,80})\s*:(?=[\s,}\]]|$))|"""
    r"""(?P<open>(?<![^\s\[{,])[\[{])|(?P<kept>\s+|[,}\]]|-(?=\s))|"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"?|'[^']*'?|[\[{]|[^\s,{}\[\]]+)"""
)
# of a longer line the pieces are not told apart: a window of it is shown, or only its length
_LONG = 1_000
# how far above a line the names of its sections are looked for
_MOST_LINES_ABOVE = 200


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
            # a text that goes on over several lines
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

    There are as many stars as the value has characters, since the caret may stand behind it.
    """
    shown = []
    may_be_key, in_flow = True, False
    for token in _TOKEN.finditer(line):
        kind, text = token.lastgroup, token[0]
        if kind == "value" or (kind == "key" and not may_be_key):
            text = _stars(text)
        if kind == "open":
            may_be_key = in_flow = True
        elif text == ",":
            may_be_key = in_flow
        elif kind != "kept":
            may_be_key = False
        shown.append(text)
    return "".join(shown)
