"""The datasets of a project: list, read, save."""

from dlthub_project.catalog.catalog import Catalog
from dlthub_project.catalog.dataset import WritableDataset
from dlthub_project.catalog.loadable_relations import relation_pages
from dlthub_project.catalog.losses import LosslessPipeline

__all__ = ["Catalog", "LosslessPipeline", "WritableDataset", "relation_pages"]
