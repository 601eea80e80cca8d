"""Makes dlt's objects from manifest entries: sources, destinations, datasets, pipelines."""

from dlthub_project.entities.dataset_locations import DatasetLocation, Datasets
from dlthub_project.entities.entries import EntryPosition, check_is_active
from dlthub_project.entities.factory import (
    DESTINATION_TYPES,
    DltEntityFactory,
    HasProject,
    entities_of,
)
from dlthub_project.entities.sources import ProjectSourceFactory

__all__ = [
    "DESTINATION_TYPES",
    "DatasetLocation",
    "Datasets",
    "DltEntityFactory",
    "EntryPosition",
    "HasProject",
    "ProjectSourceFactory",
    "check_is_active",
    "entities_of",
]
