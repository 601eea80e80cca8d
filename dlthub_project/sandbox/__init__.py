"""Isolated folders, replaced destinations, restored state: what the harness switches on.

It stands in the runtime, because a test's subprocess has dlt and no pytest. One environment
variable switches it on; nothing here imports dlt before dlt itself asks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dlthub_project.sandbox.isolation import isolated
from dlthub_project.sandbox.settings import ENVIRONMENT_VARIABLE, Sandbox, active_sandbox

if TYPE_CHECKING:
    from dlthub_project.sandbox.loading import choose_file_format_freely
    from dlthub_project.sandbox.overrides import Overrides
    from dlthub_project.sandbox.pipelines import observe_runs
    from dlthub_project.sandbox.recorder import sent_to

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "Overrides",
    "Sandbox",
    "active_sandbox",
    "choose_file_format_freely",
    "isolated",
    "observe_runs",
    "sent_to",
]

_HOME_OF = {
    "Overrides": "overrides",
    "choose_file_format_freely": "loading",
    "observe_runs": "pipelines",
    "sent_to": "recorder",
}


def __getattr__(name: str) -> Any:
    # these need dlt
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
