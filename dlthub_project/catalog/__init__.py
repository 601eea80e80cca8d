"""The datasets of a project: list, read, save."""

from dlthub_project.catalog.catalog import Catalog
from dlthub_project.catalog.dataset import WritableDataset

__all__ = ["Catalog", "WritableDataset"]
