"""Manifest entries to live dlt objects: sources, destinations, datasets, pipelines."""

from dlthub_project.entities.datasets import DatasetLocation, Datasets, place_of
from dlthub_project.entities.factory import EntityFactory
from dlthub_project.entities.sources import ProjectSourceFactory

__all__ = ["DatasetLocation", "Datasets", "EntityFactory", "ProjectSourceFactory", "place_of"]
