"""The run contexts of a sandbox, with its folders and replaced destinations."""

from __future__ import annotations

import os
from pathlib import Path

from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.context import Folders, ProjectRunContext, find_project_dir, open_run_context
from dlthub_project.dlt_internals import PlainRunContext
from dlthub_project.sandbox.destinations import TemporaryDestinations
from dlthub_project.sandbox.settings import Sandbox


class SandboxRunContext(PlainRunContext):
    """dlt's plain run context, writing to a sandbox only."""

    def __init__(self, run_dir: str | None, sandbox: Sandbox) -> None:
        super().__init__(run_dir)
        self._sandbox = sandbox

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
        return [TemporaryDestinations(self._sandbox.local_dir), *providers]

    def plug(self) -> None:
        os.makedirs(self.local_dir, exist_ok=True)


def open_sandboxed(
    sandbox: Sandbox, run_dir: str | None, profile: str | None
) -> ProjectRunContext | SandboxRunContext:
    """Return the context of the project that a look-up in `sandbox` meets, or a plain one.

    Args:
        sandbox: Where everything is written to.
        run_dir: A folder that was asked for, or None.
        profile: A profile that was asked for, or None.
    """
    folder = _project_dir(sandbox, run_dir)
    if folder is None:
        return SandboxRunContext(run_dir, sandbox)
    folders = Folders(sandbox.global_dir, sandbox.data_dir, sandbox.local_dir)
    temporary = TemporaryDestinations(sandbox.local_dir)
    return open_run_context(folder, profile, folders, [temporary])


def _project_dir(sandbox: Sandbox, run_dir: str | None) -> Path | None:
    tested = Path(sandbox.project) if sandbox.project else None
    if run_dir:
        return find_project_dir(run_dir)
    if tested and os.getcwd() == sandbox.working_dir:
        return tested
    return find_project_dir() or tested
