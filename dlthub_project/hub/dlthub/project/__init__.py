"""Found as `dlthub.project`: the classes of the runtime."""

from dlthub_project.catalog import Catalog
from dlthub_project.context import Project, ProjectRunContext
from dlthub_project.entity_factory import EntityFactory
from dlthub_project.runner import PipelineManager, PlusLogCollector

__all__ = [
    "Catalog",
    "EntityFactory",
    "PipelineManager",
    "PlusLogCollector",
    "Project",
    "ProjectRunContext",
]
