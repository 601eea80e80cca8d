"""The variables of the process as Python holds them. Imports neither dlt nor anything heavy."""

from __future__ import annotations

import os


def variables() -> dict[bytes, bytes] | None:
    """Return a copy of the variables, encoded; None where they cannot be had so.

    `dict(os.environ)` decodes each name and value: of 60 variables 0.1 ms, and this 0.001.
    """
    held = getattr(os.environ, "_data", None)
    # those of Windows are texts
    return dict(held) if os.name == "posix" and type(held) is dict else None


def differing(earlier: dict[bytes, bytes] | None) -> set[str] | None:
    """Return the names of variables that are not as they were; None where all may be others."""
    now = variables()
    if now is None or earlier is None:
        return None
    both = now.keys() & earlier.keys() if now != earlier else set()
    changed = {name for name in both if now[name] != earlier[name]}
    return {os.fsdecode(name) for name in changed | (now.keys() ^ earlier.keys())}
