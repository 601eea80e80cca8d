"""Opens the project in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dlthub_project.context.profiles import available_profiles, choose_profile
from dlthub_project.context.project import Project
from dlthub_project.context.user_folders import folders_of_user
from dlthub_project.manifest import FILE_NAME, Manifest, read_document


def open_project(
    folder: Path, profile: str | None = None, folders: Mapping[str, str] | None = None
) -> Project:
    """Return the project in `folder`, without activating it.

    Args:
        folder: The folder that holds `dlt.yml`.
        profile: The profile; None for the one that is active by environment, pin or default.
        folders: `data_dir` and `local_dir` to use instead of the declared ones; None for those
            that `DLT_DATA_DIR` and `DLT_LOCAL_DIR` name, if any. Those of a package that cannot
            be written to are the user's own: see `folders_of_user`.

    Raises:
        ManifestError: The manifest is not valid under the profile.
        ProfileNotFound: The project does not have the profile.
    """
    settings_dir = folder / ".dlt"
    document = read_document(folder / FILE_NAME)
    chosen = choose_profile(document, settings_dir, profile)
    # as dlt's own contexts do
    in_environment = {
        name: os.environ[variable]
        for name, variable in (("data_dir", "DLT_DATA_DIR"), ("local_dir", "DLT_LOCAL_DIR"))
        if os.environ.get(variable)
    }
    known = available_profiles(document, settings_dir)
    given = folders or in_environment
    manifest = Manifest(document, chosen, given)
    if moved := folders_of_user(folder, manifest.settings, given):
        manifest = Manifest(document, chosen, {**given, **moved})
    return Project(manifest, known)
