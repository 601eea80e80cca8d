"""Puts temporary destinations in the place of those that code makes or refers to."""

from __future__ import annotations

import copy
from typing import Any

from dlt.common.destination import Destination
from dlt.common.destination.reference import DestinationReference

from dlthub_project.dlt_internals import destinations
from dlthub_project.sandbox import changes, recorder
from dlthub_project.sandbox.destinations import TemporaryDestinations
from dlthub_project.sandbox.imports import is_import_running
from dlthub_project.sandbox.locality import has_place, short_type
from dlthub_project.sandbox.settings import Sandbox
from dlthub_project.secrets import public_url

AnyDestination = Destination[Any, Any]

_SANDBOX = "_dlthub_sandbox"
_ORIGINAL = "_dlthub_original"
_MADE_AT_IMPORT = "_dlthub_made_at_import"
_COPY = "_dlthub_copy"
_TYPE_IN_PRODUCTION = "_dlthub_type_in_production"


def in_sandbox(destination: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    """Return what stands for `destination` in `sandbox`; for one object always the same.

    What stands for one already is returned as it is, also where it was made in another sandbox:
    a fixture of wider scope reads in those of its tests. Not so when a module made it.
    """
    here = destination
    made_in: Sandbox | None = getattr(destination, _SANDBOX, None)
    if made_in is None or getattr(destination, _MADE_AT_IMPORT) or _is_earlier(made_in, sandbox):
        here = rebound(destination, sandbox)
    changes.note_use(here, sandbox.folder)
    return here


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
    if made_in is None or made_in.folder != sandbox.folder:
        return False
    return not _is_earlier(made_in, sandbox)


def _is_earlier(made_in: Sandbox, sandbox: Sandbox) -> bool:
    """Tell whether this is `sandbox` before its destinations were elsewhere."""
    return made_in.folder == sandbox.folder and made_in.destinations != sandbox.destinations


def is_replaced(destination: AnyDestination) -> bool:
    """Tell whether `destination` stands for one of another type."""
    return type_in_production(destination) != short_type(destination)


def type_in_production(destination: AnyDestination) -> str:
    """Return the type of what `destination` stands for; empty when it cannot be told."""
    kind: str = getattr(destination, _TYPE_IN_PRODUCTION, short_type(destination))
    return kind


def _made_for(original: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    name = original.destination_name
    if destinations.is_custom_destination(original) and name not in sandbox.allowed:
        recording = recorder.recording(original)
        changes.describe(recording, f"{name} (custom function) -> recorder")
        return recording
    temporary = _temporary_destinations()
    if temporary is None or (has_place(original) and name not in sandbox.owned):
        return _own_copy(original)
    settings = temporary.settings_of(name, short_type(original))
    if not settings:
        return _own_copy(original)
    kind = short_type(original)
    if kind == settings["destination_type"]:
        made = _own_copy(original)
        # a name was enough to have another type made in the first place
        kind = kind if has_place(original) else temporary.declared_type(name)
    else:
        factory = DestinationReference.find(settings["destination_type"])
        made = factory(destination_name=name, **_naming_of(original))
    # bound now, and not when it is used: a fixture of wider scope reads in many sandboxes
    arguments = {key: value for key, value in settings.items() if key != "destination_type"}
    made.config_params = {**made.config_params, **arguments}
    setattr(made, _TYPE_IN_PRODUCTION, kind)
    bucket = temporary.declared_bucket(name) if kind == "filesystem" else ""
    changes.describe(made, _change(name, kind, bucket, made))
    return made


def _temporary_destinations() -> TemporaryDestinations | None:
    found = (p for p in destinations.providers() if isinstance(p, TemporaryDestinations))
    return next(found, None)


def _change(name: str, kind: str, bucket: str, made: AnyDestination) -> str:
    """Say what became of a destination, as `lake (filesystem s3://bucket) -> <path>`."""
    # where nothing is declared, its name is all that there is
    before = [kind] if kind not in ("", name) else []
    if bucket:
        before = [kind, public_url(bucket)]
    after = short_type(made)
    if after == "duckdb":
        place = made.config_params.get("credentials")
        after = f"DuckDB {public_url(place)}" if isinstance(place, str) else after
    elif after == "filesystem":
        place = public_url(str(made.config_params.get("bucket_url") or ""))
        after = place if kind == after else f"{after} {place}"
    return f"{name} ({' '.join(before)}) -> {after}" if before else f"{name} -> {after}"


def _own_copy(original: AnyDestination) -> AnyDestination:
    made = copy.copy(original)
    made.__dict__.pop(_COPY, None)
    made.config_params = dict(original.config_params)
    return made


def _naming_of(original: AnyDestination) -> dict[str, Any]:
    naming = original.caps_params.get("naming_convention")
    return {"naming_convention": naming} if naming else {}
