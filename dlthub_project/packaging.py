"""A project that is an importable package, usable from any working directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dlthub_project import current

if TYPE_CHECKING:
    from dlthub_project.catalog import Catalog
    from dlthub_project.context import Project, ProjectRunContext
    from dlthub_project.entities import EntityFactory
    from dlthub_project.runner import PipelineManager

_ACCESS_PROFILE = "access"


class PackagedProject:
    """The accessors of a packaged project.

    In the `__init__.py` beside its `dlt.yml`::

        from dlthub_project import PackagedProject
        access_profile, context, config, entities, runner, catalog = PackagedProject(__file__)
    """

    def __init__(self, init_file: str) -> None:
        """Make the accessors of the project beside `init_file`."""
        self._run_dir = os.path.dirname(os.path.abspath(init_file))

    def access_profile(self) -> str:
        """Return the profile that the package is used with."""
        return _ACCESS_PROFILE

    def context(self) -> ProjectRunContext:
        """Return the run context of the package's project, and make it the active one.

        A profile that this project was switched to stays.
        """
        from dlthub_project import dlt_internals
        from dlthub_project.context import ProjectRunContext, ensure_project

        active = dlt_internals.active_run_context()
        if isinstance(active, ProjectRunContext) and active.run_dir == self._run_dir:
            return active
        return ensure_project(self._run_dir, self.access_profile())

    def config(self) -> Project:
        """Return the project."""
        return self.context().project

    def entities(self) -> EntityFactory:
        """Return the factory of the project's entities."""
        self.context()
        return current.entities()

    def runner(self) -> PipelineManager:
        """Return the runner of the project's pipelines."""
        self.context()
        return current.runner()

    def catalog(self) -> Catalog:
        """Return the catalog of the project's datasets."""
        self.context()
        return current.catalog()

    def __iter__(self):  # type: ignore[no-untyped-def]  # unpacked into names of different types
        return iter(
            (
                self.access_profile,
                self.context,
                self.config,
                self.entities,
                self.runner,
                self.catalog,
            )
        )
