"""Puts temporary destinations in the place of those that code makes or refers to."""

from __future__ import annotations

import copy
from typing import Any

from dlt.common.destination import Destination
from dlt.common.destination.reference import DestinationReference

from dlthub_project import dlt_internals
from dlthub_project.sandbox import recorder
from dlthub_project.sandbox.locality import has_place, short_type
from dlthub_project.sandbox.settings import Sandbox

AnyDestination = Destination[Any, Any]

_FOLDER = "_dlthub_sandbox_folder"
_ORIGINAL = "_dlthub_original"
_COPY = "_dlthub_copy"


def in_sandbox(destination: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    """Return what stands for `destination` in `sandbox`; for one object always the same.

    Never the object itself: a pipeline binds the destination that it is given to its own folders,
    and an object that a module made would carry those of the first test to the next.
    """
    if getattr(destination, _FOLDER, None) == sandbox.folder:
        return destination
    original: AnyDestination = getattr(destination, _ORIGINAL, destination)
    earlier: AnyDestination | None = getattr(original, _COPY, None)
    if earlier is not None and getattr(earlier, _FOLDER) == sandbox.folder:
        return earlier
    made = _made_for(original, sandbox)
    setattr(made, _FOLDER, sandbox.folder)
    setattr(made, _ORIGINAL, original)
    setattr(original, _COPY, made)
    return made


def _made_for(original: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    name = original.destination_name
    if dlt_internals.is_custom_destination(original) and name not in sandbox.allowed:
        return recorder.recording(original)
    settings = _settings_here(name, short_type(original))
    if has_place(original) or name in sandbox.allowed or not settings:
        return _own_copy(original)
    if short_type(original) == settings["destination_type"]:
        made = _own_copy(original)
    else:
        factory = DestinationReference.find(settings["destination_type"])
        made = factory(destination_name=name, **_naming_of(original))
    # bound now, and not when it is used: a fixture of wider scope reads in many sandboxes
    arguments = {key: value for key, value in settings.items() if key != "destination_type"}
    made.config_params = {**made.config_params, **arguments}
    return made


def _settings_here(name: str, type_in_code: str) -> dict[str, Any]:
    """Return what the sandbox makes of a destination; empty when the configuration decides."""
    for provider in dlt_internals.providers():
        if hasattr(provider, "settings_of"):
            settings: dict[str, Any] = provider.settings_of(name, type_in_code)
            return settings
    return {}


def _own_copy(original: AnyDestination) -> AnyDestination:
    made = copy.copy(original)
    made.__dict__.pop(_COPY, None)
    made.config_params = dict(original.config_params)
    return made


def _naming_of(original: AnyDestination) -> dict[str, Any]:
    naming = original.caps_params.get("naming_convention")
    return {"naming_convention": naming} if naming else {}
