"""The dlt run context of a project, and how a project or profile becomes active."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs import BaseConfiguration, RuntimeConfiguration
from dlt.common.configuration.specs.pluggable_run_context import ProfilesRunContext

from dlthub_project.context.discovery import (
    available_profiles,
    configured_profiles,
    find_project_dir,
    searched_folders,
)
from dlthub_project.context.project import Project
from dlthub_project.context.providers import (
    EnvironmentBesideManifest,
    ManifestProvider,
    ProvidersWithLowest,
)
from dlthub_project.dlt_internals import configuration, contexts
from dlthub_project.errors import ProjectError, ProjectRunContextNotAvailable
from dlthub_project.hub_finder import is_dlthub_installed
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from typing_extensions import Self


# the packages of project code in which dlt looks up references
_CODE_PACKAGES = ("sources", "destinations", "transformations")


_HOW_TO_MAKE_ONE = (
    "Put an empty file dlt.yml into the root folder of your project (`dlt project init` makes a "
    "whole one), or name the folder: "
    "`--project DIR` at the command line, `ensure_project(run_dir=...)` in code, or the "
    "environment variable DLT_PROJECT_DIR."
)


class ProjectRunContext(ProfilesRunContext):
    """A dlt run context with a project's folders, profile and values."""

    _make_environment: type[EnvironProvider] = EnvironProvider
    _data_are_ignored = True
    _refusal = ""

    def __init__(self, run_dir: str, project: Project) -> None:
        """Make the context of `project`; use `ensure_project` to activate one.

        Args:
            run_dir: The folder of the project's `dlt.yml`.
            project: The project under the profile to activate.
        """
        self._run_dir = run_dir
        self._project = project
        self._runtime_config: RuntimeConfiguration | None = None
        self._is_on_path = False

    @property
    def project(self) -> Project:
        """The project under its active profile."""
        return self._project

    @property
    def name(self) -> str:
        return self._project.name

    @property
    def run_dir(self) -> str:
        return self._run_dir

    @property
    def settings_dir(self) -> str:
        return self._project.settings_dir

    @property
    def global_dir(self) -> str:
        return contexts.global_folder()

    @property
    def data_dir(self) -> str:
        return self._project.data_dir

    @property
    def local_dir(self) -> str:
        return self._project.local_dir

    @property
    def uri(self) -> str:
        return contexts.context_uri(self.name, self.run_dir, self.runtime_kwargs)

    @property
    def module(self) -> ModuleType | None:
        try:
            return self.import_run_dir_module(self._project.project_dir)
        except (ImportError, TypeError):
            return None

    @property
    def runtime_kwargs(self) -> dict[str, Any]:
        return {"profile": self.profile}

    @property
    def runtime_config(self) -> RuntimeConfiguration:
        if self._runtime_config is None:
            self.initialize_runtime()
        assert self._runtime_config is not None
        return self._runtime_config

    @property
    def config(self) -> BaseConfiguration | None:  # type: ignore[override]  # as dlt's own
        return None

    @property
    def profile(self) -> str:
        """The active profile."""
        return self._project.current_profile

    @property
    def default_profile(self) -> str:
        """The profile that is active if nobody names one."""
        return self._project.default_profile

    def available_profiles(self) -> list[str]:
        """Return the profiles that can be activated."""
        return available_profiles(self._project.manifest.document, Path(self.settings_dir))

    def configured_profiles(self) -> list[str]:
        """Return the configured profiles: declared, with TOML files, and the active one."""
        configured = configured_profiles(self._project.manifest.document, Path(self.settings_dir))
        return list(dict.fromkeys((*configured, self.profile)))

    def switch_profile(self, new_profile: str) -> Self:
        """Activate another profile of this project and return the new context.

        Raises:
            ProfileNotFound: The project does not have the profile. This context stays active.
            ManifestError: The manifest is not valid under it. This context stays active.
        """
        return ensure_project(self._run_dir, new_profile)  # type: ignore[return-value]  # opened as this one was

    def initial_providers(self) -> list[ConfigProvider]:
        configuration.register_secrets()
        KNOWN.exempt(self._project.manifest.words())
        secrets, config = contexts.toml_providers(self.settings_dir, self.profile, self.global_dir)
        lowest = ManifestProvider(self._project.manifest, self._refusal)
        environment = EnvironmentBesideManifest(self._make_environment(), lowest)
        return ProvidersWithLowest([environment, secrets, config, lowest])

    def initialize_runtime(self, runtime_config: RuntimeConfiguration | None = None) -> None:
        self._runtime_config = contexts.initialize_runtime(self.name, runtime_config)

    def reset_config(self) -> None:
        self._runtime_config = None

    def get_data_entity(self, entity: str) -> str:
        return os.path.join(self.data_dir, entity)

    def get_run_entity(self, entity: str) -> str:
        return os.path.join(self._project.project_dir, entity)

    def get_setting(self, setting_path: str) -> str:
        return os.path.join(self.settings_dir, setting_path)

    def plug(self) -> None:
        try:
            for folder in (self.data_dir, self.local_dir):
                _make_folder(Path(folder), Path(self.run_dir), is_ignored=self._data_are_ignored)
        except OSError as error:
            raise ProjectError(
                f"A data folder of project {self.name!r} cannot be made: "
                f"{error.filename}: {error.strerror}.",
                "Name another one: the environment variable DLT_DATA_DIR or DLT_LOCAL_DIR, or "
                "`data_dir` or `local_dir` below `project:` in its dlt.yml.",
            ) from error
        project_dir = self._project.project_dir
        _forget_code_of_other_projects(project_dir)
        if project_dir not in sys.path:
            sys.path.insert(0, project_dir)
            self._is_on_path = True

    def unplug(self) -> None:
        # the next project must not find the modules of this one
        if self._is_on_path and self._project.project_dir in sys.path:
            sys.path.remove(self._project.project_dir)
        self._is_on_path = False

    def __getstate__(self) -> dict[str, Any]:
        # another process has another path
        return {**self.__dict__, "_is_on_path": False}

    def __repr__(self) -> str:
        return f"<ProjectRunContext {self.run_dir}, profile {self.profile!r}>"


def _forget_code_of_other_projects(project_dir: str) -> None:
    """Unload `sources`, `destinations` and `transformations` of another project."""
    root = os.path.realpath(project_dir) + os.sep
    for package in _CODE_PACKAGES:
        module = sys.modules.get(package)
        folders = [os.path.realpath(path) + os.sep for path in getattr(module, "__path__", ())]
        if module is None or any(folder.startswith(root) for folder in folders):
            continue
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            del sys.modules[name]
        contexts.forget_references(package)


def active_context() -> ProjectRunContext:
    """Return the run context of the active project.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    context = contexts.active_run_context()
    if isinstance(context, ProjectRunContext):
        return context
    folder = find_project_dir()
    if folder and not is_dlthub_installed():
        raise ProjectRunContextNotAvailable(
            f"No dltHub Project is active: dlt was first used outside of {folder}, and keeps the "
            "context that it found there.",
            "Activate the project: `ensure_project()`.",
        )
    raise not_found(None)


def not_found(run_dir: str | None) -> ProjectRunContextNotAvailable:
    """Return the error for a folder without a project."""
    if is_dlthub_installed():
        return ProjectRunContextNotAvailable(
            "The package dlthub is installed, and projects are left to it.",
            "Use its own interface, or uninstall one of the two packages.",
        )
    reason = searched_folders(run_dir)
    return ProjectRunContextNotAvailable(f"No dltHub Project: {reason}.", _HOW_TO_MAKE_ONE)


def ensure_project(run_dir: str | None = None, profile: str | None = None) -> ProjectRunContext:
    """Activate a project and return its run context.

    Args:
        run_dir: The folder of its `dlt.yml`; None to find it as dlt does.
        profile: The profile; None for the one that is active by environment, pin or default.

    Raises:
        ProjectRunContextNotAvailable: There is no project.
        ProfileNotFound: The project does not have the profile.
        ManifestError: The manifest is not valid under the profile.
    """
    return _activate(run_dir, profile)


def switch_profile(name: str) -> ProjectRunContext:
    """Activate another profile of the active project and return the new run context.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
        ProfileNotFound: The project does not have the profile.
        ManifestError: The manifest is not valid under the profile. After each error the earlier
            context is active.
    """
    return _activate(active_context().run_dir, name)


@contextmanager
def kept_context() -> Iterator[None]:
    """Run a block that may activate other projects. The earlier context always comes back."""
    earlier = contexts.save_run_context()
    try:
        yield
    finally:
        contexts.restore_run_context(earlier)


@contextmanager
def switched_profile(name: str) -> Iterator[ProjectRunContext]:
    """Activate another profile in a block. The earlier context always comes back."""
    with kept_context():
        yield switch_profile(name)


@contextmanager
def used_context(run_dir: str, profile: str, *, may_activate: bool) -> Iterator[ProjectRunContext]:
    """Give a block the run context of a project and profile, and refuse all others meanwhile.

    dlt has one run context in a process, so two threads cannot use two profiles at once.

    Args:
        run_dir: The folder of the project.
        profile: The profile.
        may_activate: Whether the context may be activated, if nobody else uses another one.

    Raises:
        ProjectError: Another project or profile is active, and in use or not to be changed.
    """
    with _USES.lock:
        active = contexts.active_run_context()
        if not _is_of(active, run_dir, profile):
            if not may_activate:
                raise ProjectError(
                    f"Profile `{profile}` of {run_dir} is not active any more: {active!r} is.",
                    "Switch profiles between two calls of run_pipelines, not while one runs.",
                )
            active = _activate(run_dir, profile)
        _USES.count += 1
    assert isinstance(active, ProjectRunContext)
    try:
        yield active
    finally:
        with _USES.lock:
            _USES.count -= 1


class _Uses:
    """How many pipelines of `run_pipelines` run in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.count = 0


_USES = _Uses()


def _is_of(context: Any, run_dir: str | None, profile: str | None) -> bool:
    if not isinstance(context, ProjectRunContext):
        return False
    is_same = run_dir is None or os.path.realpath(run_dir) == os.path.realpath(context.run_dir)
    return is_same and profile in (None, context.profile)


def _activate(run_dir: str | None, profile: str | None) -> ProjectRunContext:
    active = contexts.active_run_context() if _USES.count else None
    if _USES.count and not _is_of(active, run_dir, profile):
        raise ProjectError(
            f"{active!r} is in use by {_USES.count} running pipelines, and a process has one "
            f"profile at a time: {f'`{profile}`' if profile else 'another project'} is refused.",
            "Run the pipelines of the other profile afterwards, or in a process of their own.",
        )
    earlier = contexts.save_run_context()
    try:
        context = contexts.plug_new_run_context(
            run_dir, profile, required=ProjectRunContext.__name__
        )
        if not isinstance(context, ProjectRunContext):
            raise not_found(run_dir)
    except BaseException:
        contexts.restore_run_context(earlier)
        raise
    return context


def _make_folder(folder: Path, root: Path, *, is_ignored: bool) -> None:
    """Make a folder for data; with `is_ignored`, git ignores the new folders below `root`."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if not is_ignored or not made or not made[-1].is_relative_to(root):
        return
    below = (each for each in made[-1].parents if each != root and each.is_relative_to(root))
    if not any(each.joinpath(".gitignore").exists() for each in below):
        made[-1].joinpath(".gitignore").write_text(_IGNORED, encoding="utf-8")


_IGNORED = "# data of the project: pipelines, and the files of local destinations\n*\n"
