"""Tells how to give a test the settings that its run has not found."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pytest_dlthub.activation import Session
from pytest_dlthub.interrupts import causes

_WITHOUT_SECRETS = (
    "Rows in place of the source's own need no secrets: dlt_project.run(..., given={...}), or "
    "dlt_run(my_source, given={...}), where the source is not called."
)


def how_to_give(error: BaseException, session: Session) -> list[str]:
    """Return a line for each setting that was missing; dlt's own text lists where it has looked.

    Args:
        error: What a test failed with; the ones that it was raised from count, too.
        session: The session, whose profile names the file for such settings.
    """
    exceptions = sys.modules.get("dlt.common.configuration.exceptions")
    if exceptions is None:
        return []
    lines: list[str] = []
    for link in causes(error):
        if isinstance(link, exceptions.ConfigFieldMissingException):
            file = f"{session.profile}.secrets.toml" if session.root else "secrets.toml"
            lines = [_line(path, file) for path in _paths(link.traces, exceptions.flatten_traces)]
    return lines


def _line(path: tuple[str, ...], file: str) -> str:
    dotted = ".".join(path)
    for_rows = " " + _WITHOUT_SECRETS if path[0] == "sources" else ""
    return (
        f"{dotted} is missing. For one test: the fixture dlt_config, "
        f'dlt_config["{dotted}"] = "..."; for all: .dlt/{file}.{for_rows}'
    )


def _paths(traces: dict[str, list[object]], flatten: object) -> Iterator[tuple[str, ...]]:
    """Yield where each missing setting may be given: with two sections, if dlt looks there."""
    assert callable(flatten)
    for nested in traces.values():
        tried = [
            (tuple(trace.sections), trace.key.lower().rpartition("__")[2])
            for trace in flatten(nested)
            if trace.provider == "Environment Variables"
        ]
        if tried:
            sections, key = min(tried, key=lambda look_up: abs(len(look_up[0]) - 2))
            yield (*sections, key)
