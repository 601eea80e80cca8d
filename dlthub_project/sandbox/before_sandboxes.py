"""The run context of plain dlt code that runs before its tests have a sandbox.

The first pipeline that runs makes dlt write an id for telemetry into the global folder, even if
telemetry is off. No setting of dlt moves that folder.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.dlt_internals import configuration, contexts

# the harness sets it while such code runs
ENVIRONMENT_VARIABLE = "DLTHUB_PROJECT_EARLY_CODE"
_SECRETS_VARIABLE = "DLTHUB_PROJECT_EARLY_SECRETS"


class RunContext(contexts.PlainRunContext):
    """dlt's plain run context, whose global folder is another while the variable names one."""

    _is_reading = False

    @property
    def global_dir(self) -> str:
        if self._is_reading:
            return super().global_dir
        return os.environ.get(ENVIRONMENT_VARIABLE) or super().global_dir

    def initial_providers(self) -> list[ConfigProvider]:
        configuration.register_secrets()
        # the user's own settings stay in the real folder
        self._is_reading = True
        try:
            providers = super().initial_providers()
            secrets = os.environ.get(_SECRETS_VARIABLE, "all")
            contexts.narrow_secrets(providers, self.settings_dir, secrets)
            return providers
        finally:
            self._is_reading = False


def take_over_context() -> None:
    """Have sandboxes, and the code before them, know what code has set until now.

    A plugin of pytest that is imported earlier than ours may have used dlt. Its run context knows
    of no sandbox, and makes room for one that does.
    """
    taken = contexts.take_run_context()
    if taken is None:
        return
    from dlthub_project.sandbox import at_import, patches

    patches.note_settings()
    providers, initial = taken
    began_as = {provider.name: provider for provider in initial}
    for provider in providers:
        if provider.name in began_as:
            for path in configuration.set_since(began_as[provider.name], provider):
                at_import.note_earlier(_setting_of(provider, path), provider, path)
        elif not configuration.is_vault(provider):
            at_import.note_earlier(at_import.addition_of(provider), provider)


def _setting_of(provider: ConfigProvider, path: tuple[str, ...]) -> Callable[[Any], None]:
    *sections, key = path
    value, _ = provider.get_value(key, Any, None, *sections)
    name = provider.name

    def make(providers: Any) -> None:
        if name in providers:
            providers[name].set_value(key, copy.deepcopy(value), None, *sections)

    return make


def open_early(run_dir: str | None, profile: str | None) -> RunContext | None:
    """Return a plain context while early code runs; None leaves a workspace to dlt."""
    if ENVIRONMENT_VARIABLE not in os.environ or contexts.find_workspace(
        Path(run_dir or "."), profile
    ):
        return None
    # imported here: a process without tests must not pay for it
    from dlthub_project.sandbox import patches

    patches.note_settings()
    return RunContext(run_dir)
