"""The JSON Schema of `dlt.yml`, for editors: generated from the models that validate it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OVERLAY = "InProfile"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a `dlt.yml`.

    It takes what a manifest takes, and completes the sections of profiles too: there, nothing is
    required, and every entry may be null, which removes it.
    """
    # here, and not above: pydantic is slow to import
    from dlthub_project.manifest.models import ManifestModel

    schema = ManifestModel.model_json_schema()
    definitions = schema["$defs"]
    overlays = {
        f"{name}{_OVERLAY}": _overlay(definition) for name, definition in definitions.items()
    }
    sections = _overlay({"properties": schema["properties"]})["properties"]
    profile = definitions["ProfileEntry"]
    profile["properties"] = {
        **{name: section for name, section in sections.items() if name != "profiles"},
        **profile["properties"],
    }
    del overlays[f"ProfileEntry{_OVERLAY}"]
    return {"$schema": _DIALECT, **schema, "$defs": {**definitions, **overlays}}


def _overlay(definition: dict[str, Any]) -> dict[str, Any]:
    """Return `definition` for an entry that is laid over another: null removes any of its keys.

    References lead to overlays again.
    """
    overlay: dict[str, Any] = _redirected(deepcopy(definition))
    overlay.pop("required", None)
    for name, prop in overlay.get("properties", {}).items():
        overlay["properties"][name] = {"anyOf": [prop, {"type": "null"}]}
    return overlay


def _redirected(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"{value}{_OVERLAY}" if key == "$ref" else _redirected(value)
            for key, value in schema.items()
        }
    return [_redirected(item) for item in schema] if isinstance(schema, list) else schema
