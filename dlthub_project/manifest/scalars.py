"""Values of YAML that are no text: how they are read, and which are not what they look like."""

from __future__ import annotations

import re
from typing import Any

import yaml

TEXT_TAG = "tag:yaml.org,2002:str"
MERGE_TAG = "tag:yaml.org,2002:merge"

_PREFIX = "tag:yaml.org,2002:"
_IN_PLAIN_WORDS = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "null": "nothing",
    "binary": "base64",
}
_OCTAL = re.compile(r"[-+]?0[0-7_]+")


def read_scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """Return what YAML reads `node` as.

    Raises:
        ValueError: It cannot be read; with what to do about it.
    """
    kind = node.tag.removeprefix(_PREFIX)
    if kind not in _IN_PLAIN_WORDS and node.tag != TEXT_TAG:
        if kind == "value":
            raise ValueError("quote the `=`; it has a meaning of its own in YAML")
        raise ValueError(f"remove the tag `{node.tag[:80]}`: a manifest is plain data")
    try:
        return loader.construct_object(node)
    except Exception:
        # PyYAML's constructors let through whatever a bad date or number raises, with the value
        read_as = _IN_PLAIN_WORDS[kind]
        raise ValueError(f"YAML takes this for {read_as}, and it is none; quote it") from None


def surprise(node: yaml.ScalarNode, value: Any) -> str | None:
    """Return what YAML 1.1 reads `node` as if it looks like something else, as YAML writes it.

    `on`, `yes` and the like are switches, numbers with a leading zero are octal, and `12:30` is a
    number to the base 60. Dates are dates.
    """
    if isinstance(value, bool):
        return None if node.value.lower() in ("true", "false") else str(value).lower()
    if isinstance(value, int | float) and (":" in node.value or _OCTAL.fullmatch(node.value)):
        return str(value)
    return None
