"""Isolated folders, replaced destinations, restored state: what the harness switches on.

It stands in the runtime, because a test's subprocess has dlt and no pytest. One environment
variable switches it on; nothing here imports dlt before dlt itself asks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dlthub_project.sandbox.at_import import settings_last
from dlthub_project.sandbox.background_work import note_threads
from dlthub_project.sandbox.isolation import branch_of, continued, end, isolated, visited
from dlthub_project.sandbox.run_observers import (
    is_unobserved,
    observe_runs,
    unobserved,
    unobserved_here,
)
from dlthub_project.sandbox.settings import (
    ENVIRONMENT_VARIABLE,
    Sandbox,
    active_sandbox,
    enter,
    leave,
    move_destinations,
)

if TYPE_CHECKING:
    from dlthub_project.sandbox.before_sandboxes import take_over_context
    from dlthub_project.sandbox.destinations import sent_to, short_type
    from dlthub_project.sandbox.extract_and_normalize import (
        Seam,
        extracted_through,
        is_extracted_through,
        through_seam,
    )
    from dlthub_project.sandbox.guard import is_allowed, is_local
    from dlthub_project.sandbox.lasting_sources import put_back_sources
    from dlthub_project.sandbox.overrides import Overrides
    from dlthub_project.sandbox.patches import observe_everywhere
    from dlthub_project.sandbox.pipelines import choose_file_format_freely
    from dlthub_project.sandbox.replacements import placed_by_plugin, temporary_type
    from dlthub_project.sandbox.report_notes import (
        blocked_in_subprocesses,
        changed_destinations,
        secrets_of_subprocesses,
    )
    from dlthub_project.sandbox.runs import EndedRun, runs_in, untraced_steps
    from dlthub_project.sandbox.speed import reads_through_twins
    from dlthub_project.sandbox.watching import Watcher, read_elsewhere, watched_by

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "EndedRun",
    "Overrides",
    "Sandbox",
    "Seam",
    "Watcher",
    "active_sandbox",
    "blocked_in_subprocesses",
    "branch_of",
    "changed_destinations",
    "choose_file_format_freely",
    "continued",
    "end",
    "enter",
    "extracted_through",
    "is_allowed",
    "is_extracted_through",
    "is_local",
    "is_unobserved",
    "isolated",
    "leave",
    "move_destinations",
    "note_threads",
    "observe_everywhere",
    "observe_runs",
    "placed_by_plugin",
    "put_back_sources",
    "read_elsewhere",
    "reads_through_twins",
    "runs_in",
    "secrets_of_subprocesses",
    "sent_to",
    "settings_last",
    "short_type",
    "take_over_context",
    "temporary_type",
    "through_seam",
    "unobserved",
    "unobserved_here",
    "untraced_steps",
    "visited",
    "watched_by",
]

_HOME_OF = {
    "EndedRun": "runs",
    "Overrides": "overrides",
    "Seam": "extract_and_normalize",
    "Watcher": "watching",
    "blocked_in_subprocesses": "report_notes",
    "changed_destinations": "report_notes",
    "choose_file_format_freely": "pipelines",
    "extracted_through": "extract_and_normalize",
    "is_allowed": "guard",
    "is_extracted_through": "extract_and_normalize",
    "is_local": "guard",
    "observe_everywhere": "patches",
    "placed_by_plugin": "replacements",
    "put_back_sources": "lasting_sources",
    "read_elsewhere": "watching",
    "reads_through_twins": "speed",
    "runs_in": "runs",
    "secrets_of_subprocesses": "report_notes",
    "sent_to": "destinations",
    "short_type": "destinations",
    "take_over_context": "before_sandboxes",
    "temporary_type": "replacements",
    "through_seam": "extract_and_normalize",
    "untraced_steps": "runs",
    "watched_by": "watching",
}


def __getattr__(name: str) -> Any:
    # these need dlt
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
