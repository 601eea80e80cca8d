"""Drops a dataset at its destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlt.common.destination.client import WithStateSync

from dlthub_project.catalog.saving import queue_of, turn_to_save

if TYPE_CHECKING:
    from dlthub_project.catalog.dataset import WritableDataset


def drop_dataset(dataset: WritableDataset) -> None:
    """Remove a dataset with all its tables, in turn with the saves to it.

    Pipelines that load it start anew with their next run: dlt keeps the state beside the data.
    """
    client = dataset.destination_client
    with turn_to_save(queue_of(client, dataset.dataset_name)), client:
        if isinstance(client, WithStateSync) and client.is_storage_initialized():
            client.drop_storage()
