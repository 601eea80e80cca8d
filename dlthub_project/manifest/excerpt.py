"""The line of a manifest that a mistake stands in: a caret below the place, secrets masked."""

from __future__ import annotations

import re

_WIDTH = 100

# The manifest knows no dlt, and dlt knows no types where a file cannot even be read: names that
# credentials usually have decide what is masked.
_SECRET = re.compile(
    r"""(?P<key>[\w.-]*(?:passw|secret|token|credential|(?:api|access|private)_?key)[\w.-]*["']?\s*:\s+)
    (?P<value>"[^"]*"?|'[^']*'?|[^\s{\[|>&*"'][^\n]*)""",
    re.IGNORECASE | re.VERBOSE,
)
_URL_PASSWORD = re.compile(r"(?P<key>://[^\s:/@]*:)(?P<value>[^\s@]+)(?=@)")
_ONLY_A_VARIABLE = re.compile(r"""["']?\{env\.\w+\}["']?""")


def excerpt(line: str, column: int) -> str:
    """Return `line` without its secrets, and a caret below its `column` (from 0)."""
    shown = _URL_PASSWORD.sub(_masked, _SECRET.sub(_masked, line))
    start = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    # tabs stay tabs, so that the caret stands below its place
    below = re.sub(r"[^\t]", " ", shown[start:column])
    return f"    {shown[start : start + _WIDTH]}\n    {below}^"


def _masked(match: re.Match[str]) -> str:
    value = match["value"]
    if _ONLY_A_VARIABLE.fullmatch(value.strip()):
        return match[0]
    # as long as the value: the caret may stand behind it
    return match["key"] + "*" * len(value)
