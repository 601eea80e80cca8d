"""Transformations: in code, by a decorator, and those that a project declares."""

from dlthub_project.transformations.cache import Cache
from dlthub_project.transformations.declared_transformation import Transformation
from dlthub_project.transformations.decorator import transformation
from dlthub_project.transformations.infos import CacheInfo, Flushed, TransformationInfo

__all__ = [
    "Cache",
    "CacheInfo",
    "Flushed",
    "Transformation",
    "TransformationInfo",
    "transformation",
]
