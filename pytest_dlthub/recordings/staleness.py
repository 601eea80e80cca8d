"""Makes sure that a recording still fits the sources that a test runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dlt.extract import DltResource

from dlthub_project.errors import RecordingStale, known_names
from dlthub_project.recordings import (
    HIDDEN,
    Plan,
    RecordedResource,
    RecordedRun,
    Recording,
    arguments_of,
    function_of,
    location_in_code,
)
from pytest_dlthub.recordings.record_options import Settings


def check(
    recording: Recording,
    run: RecordedRun,
    plan: Plan,
    cursors: Mapping[str, Any],
    settings: Settings,
    folder: Path,
) -> None:
    """Make sure that a test runs the sources that were recorded, with the same code and arguments.

    Args:
        recording: The recording.
        run: The run in it.
        plan: The resources that the test runs.
        cursors: The current values of the cursors, as values of JSON.
        settings: The settings of the session.
        folder: The folder of the recording.

    Raises:
        RecordingStale: Something differs; the message lists all differences.
    """
    told = list(_differences(recording, run, plan, cursors, settings))
    if told:
        listed = "".join(f"\n  {line}" for line in told)
        raise RecordingStale(
            f"The recording of {recording.recorded} in {folder} does not fit what this test runs:"
            f"{listed}",
            f"Record it again: {settings.command} --dlt-record=all",
        )


def _differences(
    recording: Recording,
    run: RecordedRun,
    plan: Plan,
    cursors: Mapping[str, Any],
    settings: Settings,
) -> Iterator[str]:
    if recording.profile != settings.profile:
        yield f"profile: recorded on {recording.profile}, tested on {settings.profile}"
    for name in plan.recorded.keys() - run.resources.keys():
        yield f"`{name}` is not recorded. {known_names(name, sorted(run.resources))}"
    for name in run.resources.keys() - plan.recorded.keys():
        yield f"`{name}` is recorded, but not run: it is renamed, removed or not selected"
    for name in sorted(plan.recorded.keys() & run.resources.keys()):
        resource = plan.recorded[name].resources[0]
        yield from _of_resource(name, run.resources[name], resource)
    for name in sorted({*run.cursors, *cursors}):
        before, now = run.cursors.get(name), cursors.get(name)
        # of several sources that have the resource, one stands before it
        is_masked = any(f".{name}".endswith(f".{masked}") for masked in recording.masked)
        if before != now and not is_masked:
            yield f"cursor {name}: recorded from {_shown(before)}, run from {_shown(now)}"


def _of_resource(name: str, recorded: RecordedResource, resource: DltResource) -> Iterator[str]:
    function = function_of(resource)
    if function is not None and recorded.code is not None and function["code"] != recorded.code:
        yield (
            f"`{name}`: the code of {function['name']} ({location_in_code(resource)}) has changed "
            "since, or code of its module that it uses. If it still yields the same, write "
            f"`code: {function['code']}` for it in recording.yml"
        )
    elif (function is None) != (recorded.code is None):
        yield f"`{name}`: it is a recording of another function, {recorded.function}"
    now = arguments_of(resource)
    for argument in sorted({*recorded.arguments, *now}):
        before, after = recorded.arguments.get(argument), now.get(argument)
        if before != after and HIDDEN not in (before, after):
            yield f"`{name}`: {argument} was {_shown(before)}, is {_shown(after)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) == 1:
        (kind, inner), *_ = value.items()
        if str(kind).startswith("$"):
            return _shown(inner)
    return "nothing" if value is None else str(value)
