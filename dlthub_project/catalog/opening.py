"""Opens a dataset that exists at its destination, with all of its schemas."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import dlt
from dlt.common.destination.client import WithStateSync

from dlthub_project.catalog import conflicts
from dlthub_project.catalog.dataset import WritableDataset
from dlthub_project.catalog.schemas import stored_schemas
from dlthub_project.dlt_internals import datasets
from dlthub_project.entities import DatasetLocation, EntityFactory
from dlthub_project.errors import DatasetNotLoaded, ProjectError
from dlthub_project.sandbox import active_sandbox

if TYPE_CHECKING:
    from dlt.common.schema import Schema


def open_dataset(entities: EntityFactory, where: DatasetLocation) -> WritableDataset:
    """Return the dataset at `where`.

    Raises:
        DatasetNotLoaded: It does not exist there yet, or cannot exist there.
    """
    destination = entities.get_destination(
        where.destination_name, asked_by=f"dataset `{where.dataset_name}`"
    )
    client = datasets.open_destination(destination, where.dataset_name, where.dataset_name)
    if not isinstance(client, WithStateSync):
        raise DatasetNotLoaded(
            f"Dataset `{where.dataset_name}` cannot be opened: destination "
            f"`{where.destination_name}` keeps no datasets to read."
        )
    schemas: list[Schema] = []
    # connecting to a DuckDB file that does not exist would create it
    database = datasets.local_database(client)
    if database is None or os.path.exists(database):
        conflicts.connect_patiently(client)
        with client:
            schemas = stored_schemas(client)
    if not schemas:
        raise _not_loaded(entities, where)
    dataset = WritableDataset(destination, where, schemas, dlt.current.run_context().data_dir)
    datasets.read_through(dataset, client)
    return dataset


def _not_loaded(entities: EntityFactory, where: DatasetLocation) -> DatasetNotLoaded:
    project = entities.project
    profile = project.current_profile
    # in a test, what the command line loads is not seen
    command = 'dlt_project.run("{}")' if active_sandbox() else "dlt pipeline {} run --profile {}"
    commands = [f"`{command.format(name, profile)}`" for name in _loaders(entities, where)]
    return DatasetNotLoaded(
        f"Dataset `{where.dataset_name}` does not exist on destination "
        f"`{where.destination_name}` yet (profile {profile}).",
        f"Load it: {' or '.join(commands)}."
        if commands
        else "No pipeline of this project loads it there. Declare one below `pipelines:`, such as "
        f"`load_{where.dataset_name}: {{destination: {where.destination_name}, "
        f"dataset_name: {where.dataset_name}}}`, and run it with `data=`; `save` adds to it.",
    )


def _loaders(entities: EntityFactory, where: DatasetLocation) -> list[str]:
    """Return the pipelines that load the dataset at this very place."""
    loaders = []
    for name in entities.datasets.loaders_of(where.dataset_name):
        with contextlib.suppress(ProjectError):
            if entities.datasets.locate_pipeline(name).destination_name == where.destination_name:
                loaders.append(name)
    return loaders
