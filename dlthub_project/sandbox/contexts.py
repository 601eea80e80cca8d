"""The run contexts of a sandbox: of a project, a workspace, and plain dlt code.

They have the names of those that they stand for: dlt compares them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import RunContextBase

from dlthub_project import context
from dlthub_project.context import Project, find_project_dir, open_project
from dlthub_project.dlt_internals import contexts, destinations
from dlthub_project.hub_finder import is_dlthub_installed
from dlthub_project.manifest import FILE_NAME
from dlthub_project.sandbox import patches
from dlthub_project.sandbox.configured import configured_in_manifest, configured_in_toml
from dlthub_project.sandbox.destinations import TemporaryDestinations
from dlthub_project.sandbox.environment import FastEnvironProvider
from dlthub_project.sandbox.overrides import OverridesProvider
from dlthub_project.sandbox.settings import Sandbox

if TYPE_CHECKING:
    from dlt.common.configuration.specs import RuntimeConfiguration


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
                providers[index] = FastEnvironProvider()
        temporary = TemporaryDestinations(self._sandbox, self._configured_for_tests())
        providers[:0] = [OverridesProvider(self._sandbox), temporary]
        return providers

    def initialize_runtime(self, runtime_config: RuntimeConfiguration | None = None) -> None:
        providers = destinations.providers()
        if runtime_config is None and contexts.is_setting_up_context():
            # dlt asks twice for 0.6 ms: again for providers that were added, and seldom are any
            if providers == self._asked_providers:
                return
            self._asked_providers = providers
        super().initialize_runtime(runtime_config)  # type: ignore[arg-type]  # None is dlt's default
        # dlt cuts its logger off from its parents whenever it sets it up: caplog would see nothing
        logging.getLogger(self.name).propagate = True

    def plug(self) -> None:
        super().plug()
        os.makedirs(self.local_dir, exist_ok=True)

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

    _make_environment = FastEnvironProvider

    def __init__(self, run_dir: str, project: Project, sandbox: Sandbox) -> None:
        super().__init__(run_dir, project)
        self._sandbox = sandbox

    def _configured_for_tests(self) -> Iterable[str]:
        in_toml = configured_in_toml(Path(self.settings_dir), self.profile)
        return {*configured_in_manifest(self.project.manifest), *in_toml}


def open_sandboxed(
    sandbox: Sandbox, run_dir: str | None, profile: str | None
) -> RunContextBase | None:
    """Return the context of the project or workspace that a look-up meets, or a plain one.

    None where the package dlthub is installed, which projects are left to.

    Args:
        sandbox: Where everything is written to.
        run_dir: A folder that was asked for, or None.
        profile: A profile that was asked for, or None.
    """
    patches.install()
    folder = _folder(sandbox, run_dir)
    if (folder / FILE_NAME).is_file():
        if is_dlthub_installed():
            return None
        folders = {"data_dir": sandbox.data_dir, "local_dir": sandbox.local_dir}
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
