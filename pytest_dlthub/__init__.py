"""Testing dlt projects, and any other dlt code, with pytest.

Everything public is imported from here, and loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_dlthub.assertions import table_rows as table_rows
    from pytest_dlthub.project import DltProject as DltProject
    from pytest_dlthub.project import DltRun as DltRun
    from pytest_dlthub.run import PipelineRun as PipelineRun

_HOME_OF = {
    "DltProject": "project",
    "DltRun": "project",
    "PipelineRun": "run",
    "table_rows": "assertions",
}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
