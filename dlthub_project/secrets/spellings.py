"""How a secret is spelt in texts of other kinds: URLs, JSON, Python, XML, base64."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

_HEX = re.compile("[0-9a-fA-F-]+")
_LOWER = re.compile("%[0-9A-F]{2}")
# shorter lines of a secret are masked only within it
_LINE = 12


def spellings(secret: str) -> Iterator[str]:
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


def encodings(secret: str) -> Iterator[str]:
    """Yield a secret as it is within base64, wherever it begins, in hex, XML, HTML and bytes."""
    raw = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        # without the characters that also encode a part of the text before or behind
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        inner = encoded[(0, 2, 3)[before] : len(encoded.rstrip("=")) - bool(encoded[-1] == "=")]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
    yield from (raw.hex(), raw.hex().upper())
    if _HEX.fullmatch(secret):
        # hex in upper case, too, if the secret itself is hex, as a digest or a UUID
        yield from (secret.lower(), secret.upper())
    in_xml = escape(secret, {'"': "&quot;"})
    yield from (in_xml, in_xml.replace("\n", "&#10;").replace("'", "&#x27;"))
    for quoted in (quote(secret), quote(secret, safe="")):
        yield from (quoted, quoted.replace("%20", "+"), _LOWER.sub(_lower, quoted))
    as_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (*as_json, *(json.dumps(one)[1:-1] for one in as_json))
    yield repr(repr(secret))[2:-2]
    yield ascii(secret)[1:-1]
    yield repr(raw)[2:-1]


def _lower(escaped: re.Match[str]) -> str:
    return escaped[0].lower()
