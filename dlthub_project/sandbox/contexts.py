"""The run contexts of a sandbox: of a project, a workspace, and plain dlt code.

Each has the class name of the context that it replaces, because dlt compares these names.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import RunContextBase

from dlthub_project import context
from dlthub_project.context import (
    PROFILE_VARIABLE,
    Project,
    find_project_dir,
    open_project,
)
from dlthub_project.dlt_internals import contexts, destinations
from dlthub_project.hub_finder import is_dlthub_installed
from dlthub_project.manifest import FILE_NAME, Manifest
from dlthub_project.sandbox import allowed_places, patches, speed
from dlthub_project.sandbox.destinations import TemporaryDestinations
from dlthub_project.sandbox.overrides import OverridesProvider
from dlthub_project.sandbox.replacements import PLACE_KEYS
from dlthub_project.sandbox.settings import SETTINGS, Sandbox

if TYPE_CHECKING:
    from dlt.common.configuration.specs import RuntimeConfiguration

_NO_SECRETS = (
    "a secret of the environment, and tests see none (ini option dlt_secrets); the fixture "
    "dlt_config gives one"
)


class SandboxEnvironProvider(speed.FastEnvironProvider):
    """Environment variables, and those of the sandbox even if a test has cleared them."""

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        value, name = super().get_value(key, hint, pipeline_name, *sections)
        return (SETTINGS.get(name) if value is None else value), name


# mixed in before a context that implements what is called through super()
# mypy: disable-error-code="safe-super"
class _InSandbox(RunContextBase):
    """The folders of a sandbox, and its providers above those of the context."""

    _sandbox: Sandbox
    _asked_providers: Sequence[ConfigProvider] = ()

    @property
    def global_dir(self) -> str:
        return self._sandbox.global_dir

    @property
    def data_dir(self) -> str:
        return self._sandbox.data_dir

    @property
    def local_dir(self) -> str:
        return self._sandbox.local_dir

    def initial_providers(self) -> list[ConfigProvider]:
        providers = super().initial_providers()
        for index, provider in enumerate(providers):
            if type(provider) is EnvironProvider:
                providers[index] = SandboxEnvironProvider()
        contexts.narrow_secrets(providers, self.settings_dir, self._sandbox.secrets)
        temporary = TemporaryDestinations(self._sandbox, self._configured_for_tests())
        providers[:0] = [OverridesProvider(self._sandbox, providers), temporary]
        speed.look_up_quickly(providers)
        return providers

    def unplug(self) -> None:
        super().unplug()
        speed.look_up_as_dlt()

    def initialize_runtime(self, runtime_config: RuntimeConfiguration | None = None) -> None:
        providers = destinations.providers()
        # this context may come back after another one
        speed.look_up_quickly()
        if runtime_config is None:
            if speed.is_second_initialization(providers, self._asked_providers):
                return
            self._asked_providers = providers
        super().initialize_runtime(runtime_config)  # type: ignore[arg-type]  # None is dlt's default
        # each set-up of dlt's logger cuts it off from its parents: caplog would see nothing
        logging.getLogger(self.name).propagate = True

    def plug(self) -> None:
        super().plug()
        os.makedirs(self.local_dir, exist_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the providers, which cannot be pickled: a new process makes its own."""
        inherited = getattr(super(), "__getstate__", None)
        state = inherited() if callable(inherited) else vars(self)
        return {name: value for name, value in state.items() if name != "_asked_providers"}

    def _configured_for_tests(self) -> Iterable[str]:
        return ()


class RunContext(_InSandbox, contexts.PlainRunContext):
    """dlt's plain run context."""

    def __init__(self, run_dir: str | None, sandbox: Sandbox) -> None:
        super().__init__(run_dir)
        self._sandbox = sandbox


class WorkspaceRunContext(_InSandbox, contexts.WorkspaceRunContext):
    """The run context of a workspace."""

    def __init__(self, name: str, run_dir: str, profile: str, sandbox: Sandbox) -> None:
        super().__init__(name, run_dir, profile)
        self._sandbox = sandbox

    def _configured_for_tests(self) -> Iterable[str]:
        return configured_in_toml(Path(self.settings_dir), self.profile)


class ProjectRunContext(_InSandbox, context.ProjectRunContext):
    """The run context of a project."""

    _make_environment = SandboxEnvironProvider
    # the folders of a test may be below the project, too
    _data_are_ignored = False

    def __init__(self, run_dir: str, project: Project, sandbox: Sandbox) -> None:
        super().__init__(run_dir, project)
        self._sandbox = sandbox
        self._refusal = _NO_SECRETS if sandbox.secrets == "none" else ""

    def _configured_for_tests(self) -> Iterable[str]:
        in_toml = configured_in_toml(Path(self.settings_dir), self.profile)
        return {*configured_in_manifest(self.project.manifest), *in_toml}


class _OfOthers(_InSandbox):
    """A run context of another plugin of dlt, in a sandbox."""

    def get_data_entity(self, entity: str) -> str:
        # theirs may have a folder that they found when they were made
        return os.path.join(self.data_dir, entity)

    def _configured_for_tests(self) -> Iterable[str]:
        return configured_in_toml(Path(self.settings_dir), self._sandbox.profile or "")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _made_again, (type(self).__bases__[1], self.__getstate__())


@functools.cache
def _sandboxed(of_others: type[RunContextBase]) -> type[RunContextBase]:
    """Return the class of contexts of another plugin, for a sandbox."""
    if issubclass(of_others, _OfOthers):
        return of_others
    # dlt compares the name of the class
    names = {"__module__": of_others.__module__, "__qualname__": of_others.__qualname__}
    return type(of_others.__name__, (_OfOthers, of_others), names)


def _made_again(of_others: type[RunContextBase], state: Mapping[str, Any]) -> RunContextBase:
    made: RunContextBase = object.__new__(_sandboxed(of_others))
    vars(made).update(state)
    return made


def open_sandboxed(
    sandbox: Sandbox, run_dir: str | None, arguments: Mapping[str, Any]
) -> RunContextBase:
    """Return the context of the project or workspace that a look-up meets, or a plain one.

    Where the package dlthub is installed, projects are left to it: what it opens, in the sandbox.

    Args:
        sandbox: Where everything is written to.
        run_dir: A folder that was asked for, or None.
        arguments: What else was asked for: `profile`, and the name of a class that is `_required`.
    """
    profile: str | None = arguments.get("profile")
    patches.install()
    if profile is None and sandbox.profile and PROFILE_VARIABLE not in os.environ:
        # a test may clear its environment
        profile = sandbox.profile
    elif contexts.has_run_context():
        allowed_places.remember(sandbox)
    folder = _folder(sandbox, run_dir)
    if is_dlthub_installed():
        asked = {**arguments, "profile": profile} if profile else arguments
        made = contexts.context_of_other_plugins(str(folder), asked)
        if made is not None and type(made) is not contexts.WorkspaceRunContext:
            # `isinstance` with the class of the plugin stays true
            made.__class__ = _sandboxed(type(made))
            vars(made)["_sandbox"] = sandbox
            return made
        if (folder / FILE_NAME).is_file():
            run_dir = str(folder)
    elif (folder / FILE_NAME).is_file():
        folders = {
            "data_dir": sandbox.data_dir,
            "local_dir": sandbox.local_dir,
            "tmp_dir": os.path.join(sandbox.data_dir, "tmp"),
        }
        return ProjectRunContext(str(folder), open_project(folder, profile, folders), sandbox)
    if workspace := contexts.find_workspace(folder, profile):
        return WorkspaceRunContext(workspace.name, workspace.run_dir, workspace.profile, sandbox)
    return RunContext(run_dir, sandbox)


def _folder(sandbox: Sandbox, run_dir: str | None) -> Path:
    """Return the folder that dlt code belongs to: of a project, a workspace, or just where it is.

    Code that has changed into another folder belongs there, if that is a project.
    """
    here = Path(os.path.abspath(run_dir or "."))
    found = find_project_dir(run_dir)
    if run_dir or sandbox.project is None:
        return found or here
    moved = os.getcwd() != sandbox.working_dir
    return found if found and moved else Path(sandbox.project)


def configured_in_manifest(manifest: Manifest) -> Iterator[str]:
    """Yield the destinations that the profile's own section places; inherited ones do not count."""
    profiles = manifest.document.data.get("profiles") or {}
    own = profiles.get(manifest.profile) or {}
    yield from _placed(own.get("destinations"))


def configured_in_toml(settings_dir: Path, profile: str) -> Iterator[str]:
    """Yield the destinations that `.dlt/<profile>.*.toml` place."""
    for name in ("config", "secrets"):
        file = settings_dir / f"{profile}.{name}.toml"
        if file.is_file():
            document = tomlkit.parse(file.read_text(encoding="utf-8")).unwrap()
            yield from _placed(document.get("destination"))


def _placed(destinations: Any) -> Iterator[str]:
    for name, entry in destinations.items() if isinstance(destinations, Mapping) else ():
        if isinstance(entry, Mapping) and any(key in entry for key in PLACE_KEYS):
            yield name
