"""Reads the arguments of `crashed`: `again`, `given` and `runner`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlt.extract import DltResource, DltSource

from dlthub_project.errors import known_names
from dlthub_project.runner import extractables
from dlthub_project.sandbox import Sandbox, is_extracted_through

SAME: Any = object()
"""The default of `again`: the source yields the same once more."""

_RUNNERS = ("dlt", "project")
_NOT_REPLAYED = "crashed: recordings are not replayed here; give rows: given={...}"


def once_more(
    data: Any, given: Mapping[str, Any] | None, again: Any
) -> tuple[Any, Mapping[str, Any] | None]:
    """Return `data` and `given` for a run whose source has yielded its rows before.

    Args:
        data: What the first run loads.
        given: What its resources yield.
        again: The argument of `crashed`: `[]` for nothing; else a value for `given` or `data`.
    """
    is_nothing = isinstance(again, list | tuple | dict) and not again
    if given is not None:
        return data, dict.fromkeys(given, ()) if is_nothing else again
    if not is_nothing:
        return again, None
    if isinstance(data, list | tuple) and not any(
        isinstance(item, DltResource | DltSource) or callable(item) for item in data
    ):
        # rows
        return [], None
    return data, dict.fromkeys(_names(data), ())


def rows_given(given: Any, record: Any, sandbox: Sandbox) -> Mapping[str, Any] | None:
    """Return `given` for a run that we break; it must not be a recording.

    Raises:
        TypeError: It is a recording.
    """
    if given == "recorded" or record is not None:
        raise TypeError(_NOT_REPLAYED)
    if given is None and is_extracted_through(sandbox):
        raise TypeError(
            f"{_NOT_REPLAYED}; or mark the test with dlt_crash, too, and have it run the pipeline"
        )
    found: Mapping[str, Any] | None = given
    return found


def is_project_runner(runner: str) -> bool:
    """Tell whether the runner of projects runs the pipeline.

    Raises:
        ValueError: There is no such runner.
    """
    if runner not in _RUNNERS:
        raise ValueError(f"There is no runner `{runner}`. {known_names(runner, _RUNNERS)}")
    return runner == "project"


def _names(data: Any) -> list[str]:
    names: list[str] = []
    for item in extractables(data, "again"):
        if isinstance(item, DltSource):
            names += [f"{item.name}.{name}" for name in item.selected_resources]
        else:
            names.append(item.name)
    return names
