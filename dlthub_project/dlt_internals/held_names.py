"""Functions of libraries that modules hold by names of their own: `from duckdb import connect`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

# they ask the library each time, or are it
_OTHERS = ("dlt", "dlthub_project", "pytest_dlthub", "duckdb", "_duckdb", "sqlite3", "_sqlite3")


def replace(replaced: Mapping[int, Any]) -> None:
    """Replace functions in all modules of users and of other libraries that hold them.

    Args:
        replaced: What stands for each, by the id of the function.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _OTHERS:
            continue
        for held, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in replaced:
                setattr(module, held, replaced[id(value)])
