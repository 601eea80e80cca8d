"""The factory of all entities of a project, as users have it."""

from __future__ import annotations

from dlthub_project.entities import DltEntityFactory, check_is_active
from dlthub_project.transformations import Cache, Transformation


class EntityFactory(DltEntityFactory):
    """Makes the entities of a project: those of dlt, caches and transformations.

    Listing entities makes no dlt object and imports no code of the project.

    Attributes:
        project: The project, under the profile that was active when it was asked for.
        datasets: Which datasets it has, and where they live.
    """

    def list_caches(self) -> list[str]:
        """Return the names of the declared caches."""
        return list(self.project.manifest.names("caches"))

    def list_transformations(self) -> list[str]:
        """Return the names of the declared transformations."""
        return list(self.project.manifest.names("transformations"))

    def get_cache(self, name: str) -> Cache:
        """Return cache `name`; nothing is connected to or made.

        Raises:
            EntityNotFound: It is not declared.
            ManifestError: It uses an environment variable that is not set.
            ProjectError: Another project or profile was activated since.
        """
        check_is_active(self.project)
        return Cache(self, name)

    def get_transformation(self, name: str) -> Transformation:
        """Return transformation `name`; no code of the project is imported.

        Raises:
            EntityNotFound: It is not declared, or its cache is not.
            ManifestError: It uses an environment variable that is not set.
            ProjectError: It names no cache, or another project or profile was activated since.
        """
        check_is_active(self.project)
        return Transformation(self, name)
