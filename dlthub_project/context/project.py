"""What users see of a project: its settings and its declared entities, read-only."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlthub_project.manifest import Manifest

if TYPE_CHECKING:
    from dlthub_project.context.explanation import Explanation


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
    def settings_dir(self) -> str:
        """The folder of the project's TOML files."""
        return os.path.join(self.root_dir, ".dlt")

    @property
    def current_profile(self) -> str:
        """The active profile."""
        return self.manifest.settings.current_profile

    @property
    def default_profile(self) -> str:
        """The profile that is active when nobody names one."""
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
        # here, and not above: the look-ups stand on the providers, and those on dlt
        from dlthub_project.context.explanation import explain

        return explain(self, path)

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
