"""Writes new projects and new entries: templates, and the types that there are."""

from __future__ import annotations

from dlthub_project.scaffold.entry_types import (
    check_type,
    destination_types,
    entry_of,
    is_embedded,
    references_in_code,
    secrets_file,
    settings_file,
)
from dlthub_project.scaffold.new_project import NewProject, write_project
from dlthub_project.scaffold.source_templates import TEMPLATES, filled

__all__ = [
    "TEMPLATES",
    "NewProject",
    "check_type",
    "destination_types",
    "entry_of",
    "filled",
    "is_embedded",
    "references_in_code",
    "secrets_file",
    "settings_file",
    "write_project",
]
