"""Hides parts of a text."""

from __future__ import annotations

from collections.abc import Iterable

from dlthub_project.secrets.masking import MASK


def without_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with a mask for each span; spans that overlap share one."""
    shown: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start > end or not shown:
            shown += [text[end:start], MASK]
        end = max(end, stop)
    return "".join(shown) + text[end:]


def without_parts(text: str, parts: Iterable[str]) -> str:
    """Return a text without some of its parts, wherever they stand in it."""
    spans = []
    for part in {part for part in parts if part}:
        start = text.find(part)
        while start >= 0:
            spans.append((start, start + len(part)))
            # the search goes on inside a part: `ababab` holds `abab` twice
            start = text.find(part, start + 1)
    return without_spans(text, spans) if spans else text
