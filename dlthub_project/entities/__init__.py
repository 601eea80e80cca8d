"""Manifest entries to live dlt objects: sources, destinations, datasets, pipelines."""

from dlthub_project.entities.datasets import (
    DatasetLocation,
    Datasets,
    check_is_active,
    place_of,
)
from dlthub_project.entities.factory import DltEntityFactory
from dlthub_project.entities.sources import ProjectSourceFactory

__all__ = [
    "DatasetLocation",
    "Datasets",
    "DltEntityFactory",
    "ProjectSourceFactory",
    "check_is_active",
    "place_of",
]
