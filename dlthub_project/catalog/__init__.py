"""The datasets of a project: list, read, save."""

from dlthub_project.catalog.catalog import Catalog
from dlthub_project.catalog.dataset import WritableDataset, drop_dataset
from dlthub_project.catalog.loadable_relations import relation_pages
from dlthub_project.catalog.losses import LosslessPipeline
from dlthub_project.entities.destination_places import place_of

__all__ = [
    "Catalog",
    "LosslessPipeline",
    "WritableDataset",
    "drop_dataset",
    "place_of",
    "relation_pages",
]
