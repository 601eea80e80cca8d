"""The catalog of a project's datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dlthub_project.catalog.dataset import WritableDataset
from dlthub_project.catalog.opening import open_dataset
from dlthub_project.entities import DatasetLocation, EntityFactory
from dlthub_project.errors import EntityNotFound, ProjectError


class _NoSuchDataset(EntityNotFound, KeyError, AttributeError):
    """What Python expects of a key or an attribute that is missing, with our message."""


class Catalog(Mapping[str, WritableDataset]):
    """A mapping of the project's datasets by name, each on its default destination.

    Declared datasets and, where undefined entities are allowed, those that pipelines name.
    Listing and printing connect to no destination.
    """

    def __init__(self, entities: EntityFactory) -> None:
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

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        located = self._entities.datasets.locate_all()
        if not located:
            return "<Catalog: no datasets>"
        return "\n".join(f"{name}@{_destination_of(where)}" for name, where in located.items())

    def _known(self, name: str) -> WritableDataset:
        try:
            return self.dataset(name)
        except EntityNotFound as error:
            if name in self:
                raise
            raise _NoSuchDataset(error.reason, error.instruction) from None


def _destination_of(where: DatasetLocation | ProjectError) -> str:
    # opening it says what is wrong; the others are still worth to be seen
    return where.destination_name if isinstance(where, DatasetLocation) else "?"
