"""The catalog of a project's datasets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import dlt
from dlt.common.destination.client import WithStateSync

from dlthub_project.catalog import conflicts
from dlthub_project.catalog.dataset import WritableDataset
from dlthub_project.catalog.locations import UNKNOWN, location_of
from dlthub_project.catalog.schemas import stored_schemas
from dlthub_project.dlt_internals import datasets
from dlthub_project.entities import DatasetLocation, DltEntityFactory
from dlthub_project.errors import DatasetNotLoaded, EntityNotFound, ProjectError
from dlthub_project.sandbox import active_sandbox

if TYPE_CHECKING:
    from dlt.common.schema import Schema


class _NoSuchDataset(EntityNotFound, KeyError, AttributeError):
    """What Python expects of a key or an attribute that is missing, with our message."""


class Catalog(Mapping[str, WritableDataset]):
    """A mapping of the project's datasets by name, each on its default destination.

    Declared datasets and, where undefined entities are allowed, those that pipelines name.
    Listing connects to no destination, and neither does printing, which shows where each is:
    `dataset@destination[location]`, without passwords.
    """

    def __init__(self, entities: DltEntityFactory) -> None:
        self._entities = entities

    def dataset(self, name: str, destination: str | None = None) -> WritableDataset:
        """Return dataset `name`, on its default destination or on `destination`.

        Raises:
            EntityNotFound: The project does not know the dataset.
            DatasetNotLoaded: It does not exist at the destination yet.
            DestinationNotAllowed: It is declared for other destinations.
        """
        return open_dataset(self._entities, self._entities.datasets.locate(name, destination))

    def __getitem__(self, name: str) -> WritableDataset:
        return self._known(name)

    def __getattr__(self, name: str) -> WritableDataset:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._known(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entities.list_datasets())

    def __len__(self) -> int:
        return len(self._entities.list_datasets())

    def __contains__(self, name: object) -> bool:
        return name in self._entities.list_datasets()

    def __eq__(self, other: object) -> bool:
        # as mappings are compared, all datasets would be opened
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __dir__(self) -> list[str]:
        own = super().__dir__()
        return [*own, *(name for name in self if name.isidentifier() and name not in own)]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        try:
            located = self._entities.datasets.locate_all()
        except ProjectError as error:
            return f"<Catalog: {error.reason}>"
        if not located:
            return "<Catalog: no datasets>"
        location = lru_cache(partial(location_of, self._entities))
        return "\n".join(
            f"{name}@{where.destination_name}[{location(where.destination_name)}]"
            if isinstance(where, DatasetLocation)
            # opening it says what is wrong; the others are still worth to be seen
            else f"{name}@{UNKNOWN}"
            for name, where in located.items()
        )

    def _known(self, name: str) -> WritableDataset:
        try:
            return self.dataset(name)
        except EntityNotFound as error:
            if name in self:
                raise
            raise _NoSuchDataset(error.reason, error.instruction) from None


def open_dataset(entities: DltEntityFactory, where: DatasetLocation) -> WritableDataset:
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


def _not_loaded(entities: DltEntityFactory, where: DatasetLocation) -> DatasetNotLoaded:
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


def _loaders(entities: DltEntityFactory, where: DatasetLocation) -> list[str]:
    """Return the pipelines that load the dataset at this very place."""
    loaders = []
    for name in entities.datasets.loaders_of(where.dataset_name):
        with contextlib.suppress(ProjectError):
            if entities.datasets.locate_pipeline(name).destination_name == where.destination_name:
                loaders.append(name)
    return loaders
