"""Environment variables above a manifest: all but those that only happen to have the name."""

from __future__ import annotations

import threading
from typing import Any

from dlt.common.configuration.providers import EnvironProvider

from dlthub_project.context.providers import ManifestProvider


class EnvironmentBesideManifest(EnvironProvider):
    """Answers as dlt's provider does, but for variables without a section.

    Such a one is no answer to a look-up that the manifest has a value for: a declared `path` is
    not the shell's `PATH`.
    """

    def __init__(self, environment: EnvironProvider, manifest: ManifestProvider) -> None:
        """Make the provider.

        Args:
            environment: Who reads the variables.
            manifest: The lowest provider of the project.
        """
        self._environment = environment
        self._manifest = manifest
        self._look_up = _LookUp()

    @property
    def is_empty(self) -> bool:
        # dlt asks it once at the beginning of each look-up, and then for the value at one path
        # after the other, the shortest one last
        self._look_up.asked = []
        return self._environment.is_empty

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        if key in self._manifest.declared_names and not pipeline_name:
            self._look_up.asked.append((*sections, key))
            if not sections and self.gives_way():
                return None, key.upper()
        return self._environment.get_value(key, hint, pipeline_name or "", *sections)

    def gives_way(self) -> bool:
        """Tell whether the manifest has a value for what is looked up at present."""
        return any(self._manifest.as_written(path) is not None for path in self._look_up.asked)


class _LookUp(threading.local):
    """The paths that the present look-up of a thread has asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
