"""Puts temporary destinations in the place of those that code makes or refers to."""

from __future__ import annotations

import copy
from typing import Any

from dlt.common.destination import Destination
from dlt.common.destination.reference import DestinationReference

from dlthub_project import dlt_internals
from dlthub_project.sandbox import recorder
from dlthub_project.sandbox.destinations import TemporaryDestinations
from dlthub_project.sandbox.imports import is_import_running
from dlthub_project.sandbox.locality import has_place, short_type
from dlthub_project.sandbox.settings import Sandbox

AnyDestination = Destination[Any, Any]

_SANDBOX = "_dlthub_sandbox"
_ORIGINAL = "_dlthub_original"
_MADE_AT_IMPORT = "_dlthub_made_at_import"
_COPY = "_dlthub_copy"


def in_sandbox(destination: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    """Return what stands for `destination` in `sandbox`; for one object always the same.

    What stands for one already is returned as it is, also where it was made in another sandbox:
    a fixture of wider scope reads in those of its tests. Not so when a module made it.
    """
    if hasattr(destination, _SANDBOX) and not getattr(destination, _MADE_AT_IMPORT):
        return destination
    return rebound(destination, sandbox)


def rebound(destination: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    """Return what stands for `destination` in this sandbox, and in no other.

    Never the object itself: a pipeline binds the destination that it is given to its own folders,
    and an object that a module made would carry those of the first test to the next.
    """
    if _is_for(destination, sandbox):
        return destination
    original = original_of(destination)
    earlier: AnyDestination | None = getattr(original, _COPY, None)
    if earlier is not None and _is_for(earlier, sandbox):
        return earlier
    made = _made_for(original, sandbox)
    setattr(made, _SANDBOX, sandbox)
    setattr(made, _ORIGINAL, original)
    setattr(made, _MADE_AT_IMPORT, is_import_running())
    setattr(original, _COPY, made)
    return made


def original_of(destination: AnyDestination) -> AnyDestination:
    """Return the object that code made, of one that stands for it in a sandbox."""
    original: AnyDestination = getattr(destination, _ORIGINAL, destination)
    return original


def sandbox_of(destination: AnyDestination) -> Sandbox:
    """Return the sandbox that `destination`, which stands for another, was made in."""
    sandbox: Sandbox = getattr(destination, _SANDBOX)
    return sandbox


def _is_for(destination: AnyDestination, sandbox: Sandbox) -> bool:
    made_in: Sandbox | None = getattr(destination, _SANDBOX, None)
    return made_in is not None and made_in.folder == sandbox.folder


def is_replaced(destination: AnyDestination) -> bool:
    """Tell whether `destination` stands for one of another type."""
    original = original_of(destination)
    if original is destination or has_place(original):
        return False
    kind = short_type(original)
    if kind == short_type(destination):
        # a name was enough to have another type made in the first place
        kind = _declared_type(original.destination_name)
    return kind != short_type(destination)


def _made_for(original: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    name = original.destination_name
    if dlt_internals.is_custom_destination(original) and name not in sandbox.allowed:
        return recorder.recording(original)
    settings = _settings_here(name, short_type(original))
    if has_place(original) or not settings:
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


def _temporary_destinations() -> TemporaryDestinations | None:
    found = (p for p in dlt_internals.providers() if isinstance(p, TemporaryDestinations))
    return next(found, None)


def _settings_here(name: str, type_in_code: str) -> dict[str, Any]:
    """Return what the sandbox makes of a destination; empty when the configuration decides."""
    temporary = _temporary_destinations()
    return temporary.settings_of(name, type_in_code) if temporary else {}


def _declared_type(name: str) -> str:
    temporary = _temporary_destinations()
    return temporary.declared_type(name) if temporary else name


def _own_copy(original: AnyDestination) -> AnyDestination:
    made = copy.copy(original)
    made.__dict__.pop(_COPY, None)
    made.config_params = dict(original.config_params)
    return made


def _naming_of(original: AnyDestination) -> dict[str, Any]:
    naming = original.caps_params.get("naming_convention")
    return {"naming_convention": naming} if naming else {}
