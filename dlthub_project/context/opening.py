"""Makes the run context of the project in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.context.profiles import available_profiles, choose_profile
from dlthub_project.context.project import Project
from dlthub_project.context.run_context import Folders, ProjectRunContext
from dlthub_project.manifest import FILE_NAME, Manifest, read_document


def open_run_context(
    folder: Path,
    profile: str | None = None,
    folders: Folders | None = None,
    first_providers: Sequence[ConfigProvider] = (),
) -> ProjectRunContext:
    """Return the run context of the project in `folder`, without activating it.

    Args:
        folder: The folder that holds `dlt.yml`.
        profile: The profile; None for the one that is active by environment, pin or default.
        folders: Folders to use instead of the project's own.
        first_providers: Configuration providers above all others.

    Raises:
        ManifestError: The manifest is not valid under the profile.
        ProfileNotFound: The project does not have the profile.
    """
    settings_dir = folder / ".dlt"
    document = read_document(folder / FILE_NAME)
    chosen = choose_profile(document, settings_dir, profile)
    moved = {"data_dir": folders.data_dir, "local_dir": folders.local_dir} if folders else None
    project = Project(Manifest(document, chosen, moved), available_profiles(document, settings_dir))
    return ProjectRunContext(str(folder), project, folders, first_providers)
