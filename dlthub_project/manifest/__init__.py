"""`dlt.yml` to a `Manifest`: read with positions, merge the profile, validate, fill variables in.

Pure: knows no dlt, and opens no file but the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlthub_project.manifest.document import FILE_NAME, Document
from dlthub_project.manifest.manifest import Manifest, default_profile, read_document
from dlthub_project.manifest.names import SECTIONS
from dlthub_project.manifest.profiles import IMPLICIT_PROFILES, declared_profiles
from dlthub_project.manifest.settings import Settings, unset_names, unset_uses

if TYPE_CHECKING:
    from dlthub_project.manifest.models import json_schema

__all__ = [
    "FILE_NAME",
    "IMPLICIT_PROFILES",
    "SECTIONS",
    "Document",
    "Manifest",
    "Settings",
    "declared_profiles",
    "default_profile",
    "json_schema",
    "read_document",
    "unset_names",
    "unset_uses",
]


def __getattr__(name: str) -> Any:
    if name == "json_schema":
        # pydantic is loaded with the first manifest that is read
        from dlthub_project.manifest.models import json_schema

        return json_schema
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
