"""What Python holds: the variables of the process, and functions by their names in modules.

It imports neither dlt nor anything heavy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

# they ask the library each time, or are it
_OTHERS = ("dlt", "dlthub_project", "pytest_dlthub", "duckdb", "_duckdb", "sqlite3", "_sqlite3")


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


def replace_held(replaced: Mapping[int, Any]) -> None:
    """Replace functions in all modules of users and of other libraries that hold them.

    `from duckdb import connect` gives a module a name of its own for the function.

    Args:
        replaced: What stands for each, by the id of the function.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _OTHERS:
            continue
        for held, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in replaced:
                setattr(module, held, replaced[id(value)])
