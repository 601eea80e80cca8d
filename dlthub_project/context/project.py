"""A project as users see it: its settings and declared entities, read-only."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project.context.discovery import (
    FOLDER_VARIABLES,
    available_profiles,
    choose_profile,
    settings_folder,
)
from dlthub_project.errors import ProjectError
from dlthub_project.manifest import FILE_NAME, Manifest, Settings, read_document

if TYPE_CHECKING:
    from dlthub_project.context.explanation import Explanation

_PIPELINES_VARIABLE = "PIPELINES_DIR"
_VARIABLE_OF_TESTS = "DLTHUB_PROJECT_EARLY_CODE"


class Project:
    """A project under its active profile.

    Whatever it returns is a copy: changing it never changes the project.
    """

    def __init__(self, manifest: Manifest, profiles: list[str]) -> None:
        self.manifest = manifest
        self._profiles = tuple(profiles)

    @property
    def name(self) -> str:
        """The name of the project; by default that of its folder."""
        return self.manifest.settings.name

    @property
    def root_dir(self) -> str:
        """The folder that holds `dlt.yml`."""
        return str(self.manifest.document.path.parent.absolute())

    @property
    def project_dir(self) -> str:
        """The root of the project's Python modules; by default the folder of `dlt.yml`."""
        return self.manifest.settings.project_dir

    @property
    def data_dir(self) -> str:
        """The folder of the active profile's working files."""
        return self.manifest.settings.data_dir

    @property
    def local_dir(self) -> str:
        """The folder of the files that destinations of the active profile create."""
        return self.manifest.settings.local_dir

    @property
    def tmp_dir(self) -> str:
        """The folder for temporary files of the active profile; `{tmp_dir}` in the manifest."""
        return self.manifest.settings.tmp_dir

    @property
    def settings_dir(self) -> str:
        """The folder of the project's TOML files."""
        return os.path.join(self.root_dir, settings_folder())

    @property
    def current_profile(self) -> str:
        """The active profile."""
        return self.manifest.settings.current_profile

    @property
    def default_profile(self) -> str:
        """The profile that is active if nobody names one."""
        return self.manifest.settings.default_profile

    @property
    def profiles(self) -> list[str]:
        """The profiles that can be activated."""
        return list(self._profiles)

    @property
    def allow_undefined_entities(self) -> bool:
        """Whether what is only referred to is created from its name."""
        return self.manifest.settings.allow_undefined_entities

    @property
    def config(self) -> dict[str, Any]:
        """The merged manifest; variables that are not set stay as they are written."""
        filled = self.manifest.fill_known(copy.deepcopy(self.manifest.merged))
        assert isinstance(filled, dict)
        return filled

    @property
    def sources(self) -> dict[str, Any]:
        """The declared sources by name."""
        return self._section("sources")

    @property
    def destinations(self) -> dict[str, Any]:
        """The declared destinations by name."""
        return self._section("destinations")

    @property
    def datasets(self) -> dict[str, Any]:
        """The declared datasets by name."""
        return self._section("datasets")

    @property
    def pipelines(self) -> dict[str, Any]:
        """The declared pipelines by name."""
        return self._section("pipelines")

    @property
    def caches(self) -> dict[str, Any]:
        """The declared caches by name."""
        return self._section("caches")

    @property
    def transformations(self) -> dict[str, Any]:
        """The declared transformations by name."""
        return self._section("transformations")

    def explain(self, path: str) -> Explanation:
        """Say where a configuration value comes from: all layers that have it, and the winner.

        A print of what is returned is a table. Secrets are masked.

        Args:
            path: The value as the manifest calls it, such as `destinations.warehouse.credentials`,
                or as dlt does (`destination.warehouse.credentials`). Of a section, such as
                `destinations.warehouse`, every value in it is explained.

        Returns:
            The explanation, for the active pipeline, if there is one.

        Raises:
            ValueNotSet: No layer has the value, or no such section is known.
            ProjectError: The project is not active under this profile.
        """
        # late: both import dlt, and whoever only reads a project does not need it
        from dlthub_project.context.explanation import explain
        from dlthub_project.dlt_internals import contexts

        active = contexts.active_run_context()
        if getattr(active, "project", None) is not self:
            raise ProjectError(
                f"Only values of the active project are explained, and {active!r} is active now.",
                "Ask the active one: `current.project().explain(...)`.",
            )
        return explain(self.manifest, path)

    def __repr__(self) -> str:
        sections: Mapping[str, Any] = {
            name: self.manifest.merged.get(name) or ()
            for name in ("sources", "destinations", "datasets", "pipelines")
        }
        counts = ", ".join(f"{len(entries)} {name}" for name, entries in sections.items())
        return f"<Project {self.name!r}, profile {self.current_profile!r}: {counts}>"

    def _section(self, name: str) -> dict[str, Any]:
        return {
            key: self.manifest.fill_known(entry)
            for key, entry in self.manifest.section(name).items()
        }


def open_project(
    folder: Path, profile: str | None = None, folders: Mapping[str, str] | None = None
) -> Project:
    """Return the project in `folder`, without activating it.

    Args:
        folder: The folder that holds `dlt.yml`.
        profile: The profile; None for the one that is active by environment, pin or default.
        folders: `data_dir`, `local_dir` and `tmp_dir` to use instead of the declared ones; None for
            those that `DLT_DATA_DIR` and `DLT_LOCAL_DIR` name, if any, and if the manifest does not
            use them itself. A package whose folders nobody can write to gets folders of the user:
            see `folders_of_user`.

    Raises:
        ManifestError: The manifest is not valid under the profile.
        ProfileNotFound: The project does not have the profile.
        ProjectError: A variable of dlt's would give all profiles one folder.
    """
    settings_dir = folder / settings_folder()
    document = read_document(folder / FILE_NAME)
    chosen = choose_profile(document, settings_dir, profile)
    known = available_profiles(document, settings_dir)
    # as dlt's own contexts do
    in_environment = {
        name: os.environ[variable]
        for name, variable in FOLDER_VARIABLES.items()
        if os.environ.get(variable)
    }
    given = folders or in_environment
    manifest = Manifest(document, chosen, given)
    if not folders:
        given = _heard_folders(manifest, given)
        if given != in_environment:
            manifest = Manifest(document, chosen, given)
    if moved := folders_of_user(folder, manifest.settings, given):
        manifest = Manifest(document, chosen, {**given, **moved})
    return Project(manifest, known)


def _heard_folders(manifest: Manifest, in_environment: Mapping[str, str]) -> dict[str, str]:
    """Return the folders of the environment that replace those of the manifest.

    A declared folder stays if each profile has its own and the manifest makes it of dlt's variable.

    Raises:
        ProjectError: A variable of dlt's would give the profiles one folder, instead of the folder
            that the manifest declares for each.
    """
    heard = {}
    for name, folder in in_environment.items():
        variable = FOLDER_VARIABLES[name]
        # tests of plain dlt code keep out of all folders
        is_of_tests = os.environ.get(_VARIABLE_OF_TESTS) == folder
        # files of destinations are below the declared `data_dir`, if nobody says otherwise
        is_declared = manifest.declares(name) or (
            name == "local_dir" and manifest.declares("data_dir")
        )
        is_own = is_declared and manifest.depends_on_profile(name)
        if is_of_tests or not is_own:
            heard[name] = folder
        elif not manifest.uses_variable(name, variable):
            raise _shared_by_profiles(manifest, variable, name)
    is_own = "data_dir" not in heard and manifest.depends_on_profile("data_dir")
    if is_own and os.environ.get(_PIPELINES_VARIABLE):
        raise _shared_by_profiles(manifest, _PIPELINES_VARIABLE, "data_dir")
    return heard


def _shared_by_profiles(manifest: Manifest, variable: str, setting: str) -> ProjectError:
    path = f'"{{env.{FOLDER_VARIABLES[setting]}}}/{{current_profile}}"'
    return ProjectError(
        f"The environment variable {variable} names one folder for all profiles, and "
        f"{manifest.document.path} has one for each: they would write to one place.",
        f"Unset {variable}; `{setting}: {path}` below `project:` puts the folders of all "
        f"profiles where {FOLDER_VARIABLES[setting]} says.",
    )


def folders_of_user(root: Path, settings: Settings, given: Collection[str]) -> dict[str, str]:
    """Return folders below the user's own for those that a package cannot write to.

    Args:
        root: The folder of the `dlt.yml`. A project that is no package keeps its folders.
        settings: The folders that the project would have.
        given: The names of folders that somebody has chosen. They do not move.

    Returns:
        The folders to use instead: some of `data_dir`, `local_dir` and `tmp_dir`. Only folders
        below `root` move: the project has chosen the others.
    """
    if not (root / "__init__.py").is_file():
        return {}
    moved = {}
    for name in ("data_dir", "local_dir", "tmp_dir"):
        folder = Path(getattr(settings, name))
        if name in given or not folder.is_relative_to(root) or _is_writable(folder):
            continue
        moved[name] = str(_user_folder(root) / folder.relative_to(root))
    return moved


def _user_folder(root: Path) -> Path:
    # late: few projects need it
    import platformdirs

    # packages of one name in two environments have different data
    digest = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:8]
    user_folder = platformdirs.user_data_dir("dlthub_project", appauthor=False)
    return Path(user_folder, f"{root.name}-{digest}")


def _is_writable(folder: Path) -> bool:
    """Tell whether this process can make files in `folder`, or make the folder."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
