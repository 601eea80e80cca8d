"""The active project: its context, configuration, entities, runner and catalog.

The same functions are in `dlt.hub.current.project`, in `dlthub_project.current` and, in a packaged
project, in the package itself: `my_package.config()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlthub_project.catalog import Catalog
    from dlthub_project.context import Project, ProjectRunContext
    from dlthub_project.entity_factory import EntityFactory
    from dlthub_project.runner import PipelineManager

__all__ = ["catalog", "config", "context", "entities", "project", "runner"]


def context() -> ProjectRunContext:
    """Return the run context of the active project.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    from dlthub_project.context import active_context

    return active_context()


def config() -> Project:
    """Return the active project, with its settings and the manifest of the active profile.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    return context().project


def project() -> Project:
    """Return the active project; the same object as `config()`."""
    return config()


def entities() -> EntityFactory:
    """Return the factory of the active project's entities.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    from dlthub_project.entity_factory import EntityFactory

    return EntityFactory(config())


def runner() -> PipelineManager:
    """Return the runner of the active project's pipelines.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    from dlthub_project.runner import PipelineManager

    return PipelineManager(entities())


def catalog() -> Catalog:
    """Return the catalog of the active project's datasets.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    from dlthub_project.catalog import Catalog

    return Catalog(entities())
