"""Transformations: functions from datasets to tables, and those that a project declares."""

from dlthub_project.transformations.cache import Cache
from dlthub_project.transformations.decorator import transformation
from dlthub_project.transformations.report import CacheInfo, Flushed, TransformationInfo
from dlthub_project.transformations.steps import Transformation

__all__ = [
    "Cache",
    "CacheInfo",
    "Flushed",
    "Transformation",
    "TransformationInfo",
    "transformation",
]
