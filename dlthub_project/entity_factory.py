"""The public factory of a project's entities."""

from __future__ import annotations

from dlthub_project.entities import DltEntityFactory, check_is_active
from dlthub_project.transformations import Cache, Transformation


class EntityFactory(DltEntityFactory):
    """Makes the entities of a project: those of dlt, caches and transformations.

    Listing entities makes no dlt object and imports no code of the project.

    Attributes:
        project: The project under the profile that was active when the factory was made.
        datasets: The datasets of the project, and where they live.
    """

    def list_caches(self) -> list[str]:
        """Return the names of the declared caches."""
        return list(self.project.manifest.names("caches"))

    def list_transformations(self) -> list[str]:
        """Return the names of the declared transformations."""
        return list(self.project.manifest.names("transformations"))

    def get_cache(self, name: str) -> Cache:
        """Return cache `name`; connect to nothing, and make nothing.

        Raises:
            EntityNotFound: The manifest does not declare it.
            ManifestError: Its entry uses an environment variable that is not set.
            ProjectError: Somebody has activated another project or profile since.
        """
        check_is_active(self.project)
        return Cache(self, name)

    def get_transformation(self, name: str) -> Transformation:
        """Return transformation `name`; import no code of the project.

        Raises:
            EntityNotFound: The manifest does not declare it, or its cache.
            ManifestError: An entry uses an environment variable that is not set.
            ProjectError: It names no cache, or somebody has activated another project or profile.
        """
        check_is_active(self.project)
        return Transformation(self, name)
