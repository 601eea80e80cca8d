"""Makes dlt's objects from manifest entries: sources, destinations, datasets, pipelines."""

from dlthub_project.entities.dataset_locations import DatasetLocation, Datasets
from dlthub_project.entities.entries import EntryPosition, check_is_active
from dlthub_project.entities.factory import DltEntityFactory, HasProject, entities_of
from dlthub_project.entities.sources import ProjectSourceFactory

__all__ = [
    "DatasetLocation",
    "Datasets",
    "DltEntityFactory",
    "EntryPosition",
    "HasProject",
    "ProjectSourceFactory",
    "check_is_active",
    "entities_of",
]
