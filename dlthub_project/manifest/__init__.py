"""`dlt.yml` to a `Manifest`: read with positions, merge the profile, validate, fill variables in.

Pure: knows no dlt, and opens no file but the manifest.
"""

from dlthub_project.manifest.document import FILE_NAME, Document
from dlthub_project.manifest.manifest import Manifest, default_profile
from dlthub_project.manifest.profiles import IMPLICIT_PROFILES, declared_profiles
from dlthub_project.manifest.reading import read_document
from dlthub_project.manifest.schema import json_schema
from dlthub_project.manifest.settings import Settings
from dlthub_project.manifest.variables import unset_names

__all__ = [
    "FILE_NAME",
    "IMPLICIT_PROFILES",
    "Document",
    "Manifest",
    "Settings",
    "declared_profiles",
    "default_profile",
    "json_schema",
    "read_document",
    "unset_names",
]
