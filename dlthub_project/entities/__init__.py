"""Manifest entries to live dlt objects: sources, destinations, datasets, pipelines."""

from dlthub_project.entities.factory import DatasetLocation, EntityFactory
from dlthub_project.entities.sources import ProjectSourceFactory

__all__ = ["DatasetLocation", "EntityFactory", "ProjectSourceFactory"]
