"""Transformations: in code, by a decorator, and those that a project declares."""

from dlthub_project.transformations.cache import Cache
from dlthub_project.transformations.declarations import CacheInfo, Flushed, TransformationInfo
from dlthub_project.transformations.declared_transformation import Transformation
from dlthub_project.transformations.engines.python import transformation

__all__ = [
    "Cache",
    "CacheInfo",
    "Flushed",
    "Transformation",
    "TransformationInfo",
    "transformation",
]
