"""The catalog of a project's datasets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import dlt
from dlt.common.destination.client import WithStateSync

from dlthub_project.catalog import transactions
from dlthub_project.catalog.dataset import NewDataset, WritableDataset
from dlthub_project.catalog.schemas import stored_schemas
from dlthub_project.dlt_internals import datasets
from dlthub_project.entities import DatasetLocation, DltEntityFactory, HasProject, entities_of
from dlthub_project.entities.destination_places import UNKNOWN, place_of
from dlthub_project.errors import DatasetNotLoaded, EntityNotFound, ProjectError
from dlthub_project.sandbox import active_sandbox

if TYPE_CHECKING:
    from dlt.common.schema import Schema


class _NoSuchDataset(EntityNotFound, KeyError, AttributeError):
    """The error that Python expects when a key or an attribute is missing, with our message."""


class Catalog(Mapping[str, WritableDataset]):
    """A mapping of the project's datasets by name, each on its default destination.

    It has the declared datasets. Where undefined entities are allowed, it also has those that
    pipelines name. Listing and printing connect to no destination. A printed catalog shows where
    each dataset is: `dataset@destination[location]`, without passwords.
    """

    def __init__(self, project: HasProject) -> None:
        """Make the catalog of a project, its run context or its entities.

        Raises:
            TypeError: It is made of anything else.
        """
        self._entities = entities_of(project)

    def dataset(self, name: str, destination: str | None = None) -> WritableDataset:
        """Return dataset `name`, on its default destination or on `destination`.

        Raises:
            EntityNotFound: The project does not know the dataset.
            DatasetNotLoaded: Only pipelines name the dataset, and none has loaded it. One that is
                declared takes a `save`, and raises this when it is read.
            DestinationNotAllowed: The manifest declares it for other destinations.
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
        # the comparison of mappings would open all datasets
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
        place = lru_cache(partial(place_of, self._entities))
        return "\n".join(
            f"{name}@{location.destination_name}[{place(location.destination_name)}]"
            if isinstance(location, DatasetLocation)
            # whoever opens this dataset gets the error; the others are still worth showing
            else f"{name}@{UNKNOWN}"
            for name, location in located.items()
        )

    def _known(self, name: str) -> WritableDataset:
        try:
            return self.dataset(name)
        except EntityNotFound as error:
            if name in self:
                raise
            raise _NoSuchDataset(error.reason, error.instruction) from None


def open_dataset(entities: DltEntityFactory, location: DatasetLocation) -> WritableDataset:
    """Return the dataset at `location`; a `NewDataset` if it is declared and not there yet.

    Raises:
        DatasetNotLoaded: It is not declared and does not exist there, or cannot exist there.
    """
    destination = entities.get_destination(
        location.destination_name, asked_by=f"dataset `{location.dataset_name}`"
    )
    client = datasets.open_destination(destination, location.dataset_name, location.dataset_name)
    if not isinstance(client, WithStateSync):
        raise DatasetNotLoaded(
            f"Dataset `{location.dataset_name}` cannot be opened: destination "
            f"`{location.destination_name}` keeps no datasets to read."
        )
    schemas: list[Schema] = []
    # a connection to a DuckDB file that does not exist would create the file
    database = datasets.local_database(client)
    if database is None or os.path.exists(database):
        transactions.connect_patiently(client)
        with client:
            schemas = stored_schemas(client)
    data_dir = dlt.current.run_context().data_dir
    if not schemas:
        not_loaded = _not_loaded(entities, location)
        if location.dataset_name not in entities.project.manifest.names("datasets"):
            raise not_loaded
        return NewDataset(destination, location, data_dir, not_loaded)
    dataset = WritableDataset(destination, location, schemas, data_dir)
    datasets.read_through(dataset, client)
    return dataset


def _not_loaded(entities: DltEntityFactory, location: DatasetLocation) -> DatasetNotLoaded:
    project = entities.project
    profile = project.current_profile
    # a test does not see what the command line loads
    command = 'dlt_project.run("{}")' if active_sandbox() else "dlt pipeline {} run --profile {}"
    commands = [f"`{command.format(name, profile)}`" for name in _loaders(entities, location)]
    transformation = (
        'dlt_project.transformation("{}").run()'
        if active_sandbox()
        else "dlt transformation {} run --profile {}"
    )
    commands += [
        f"`{transformation.format(name, profile)}`" for name in _writers(entities, location)
    ]
    return DatasetNotLoaded(
        f"Dataset `{location.dataset_name}` does not exist on destination "
        f"`{location.destination_name}` yet (profile {profile}).",
        f"Load it: {' or '.join(commands)}."
        if commands
        else "No pipeline or transformation of this project loads it there. Declare a pipeline, "
        f"such as `load_{location.dataset_name}: {{destination: {location.destination_name}, "
        f"dataset_name: {location.dataset_name}}}`, and run it with `data=`; or declare the "
        "dataset below `datasets:`, and its first `save` makes it.",
    )


def _writers(entities: DltEntityFactory, location: DatasetLocation) -> list[str]:
    """Return the transformations whose caches write to the dataset."""
    manifest = entities.project.manifest
    caches = {
        name
        for name, entry in manifest.section("caches").items()
        for output in entry.get("outputs") or ()
        if output.get("dataset") == location.dataset_name
    }
    transformations = manifest.section("transformations")
    return [name for name, entry in transformations.items() if entry.get("cache") in caches]


def _loaders(entities: DltEntityFactory, location: DatasetLocation) -> list[str]:
    """Return the pipelines that load the dataset at this very location."""
    loaders = []
    for name in entities.datasets.loaders_of(location.dataset_name):
        with contextlib.suppress(ProjectError):
            if (
                entities.datasets.locate_pipeline(name).destination_name
                == location.destination_name
            ):
                loaders.append(name)
    return loaders
