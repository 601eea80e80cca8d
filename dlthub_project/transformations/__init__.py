"""Transformations: functions from datasets to tables."""

from dlthub_project.transformations.decorator import transformation

__all__ = ["transformation"]
