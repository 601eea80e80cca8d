"""The datasets of a project: list, read, save."""

from dlthub_project.catalog.catalog import Catalog
from dlthub_project.catalog.dataset import WritableDataset
from dlthub_project.catalog.loadable_relations import relation_pages

__all__ = ["Catalog", "WritableDataset", "relation_pages"]
