"""The datasets of a project: their names, destinations and schema contracts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlthub_project.entities.entries import (
    EntryPosition,
    asked_by_clause,
    declared_pipeline,
    manifest_file,
    pipeline_value,
)
from dlthub_project.errors import (
    DestinationNotAllowed,
    EntityNotFound,
    ManifestError,
    ProjectError,
    known_names,
)

if TYPE_CHECKING:
    from dlt.common.schema.typing import TSchemaContract

    from dlthub_project.context import Project


_Loaders = Mapping[str, list[str]]
"""The pipelines that load a dataset, by its name."""


@dataclass(frozen=True)
class DatasetLocation:
    """A dataset, the destination where it lives, and its schema contract.

    Attributes:
        dataset_name: Its name.
        destination_name: The destination where it lives.
        contract: Its schema contract, or None.
    """

    dataset_name: str
    destination_name: str
    contract: TSchemaContract | None = None


class Datasets:
    """The datasets of a project: declared ones, and those that pipelines name.

    No method makes a dlt object or connects to anything.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._manifest = project.manifest

    def names(self) -> list[str]:
        """Return the names of declared datasets, then of those that only pipelines name.

        Those that are disabled under the profile are left out. Datasets that only pipelines name
        are there if undefined entities are allowed.
        """
        return self._names(self._loaders() if self._project.allow_undefined_entities else {})

    def loaders_of(self, name: str) -> list[str]:
        """Return the pipelines that load dataset `name`."""
        return self._loaders().get(name, [])

    def name_of(self, pipeline: str) -> str:
        """Return the name of the dataset that `pipeline` loads; by default dlt's own.

        Raises:
            ManifestError: It uses an environment variable that is not set.
        """
        named = pipeline_value(self._project, pipeline, "dataset_name")
        return named or f"{pipeline}_dataset"

    def contract_of(self, name: str) -> TSchemaContract | None:
        """Return the schema contract that dataset `name` declares.

        Raises:
            ManifestError: It uses an environment variable that is not set.
        """
        return self._entry(name).get("contract")

    def tables_of(self, name: str) -> Mapping[str, Any]:
        """Return what dataset `name` declares of its tables: `checks` and `metrics` of each.

        Raises:
            ManifestError: It uses an environment variable that is not set.
        """
        return self._entry(name).get("tables") or {}

    def metrics_of(self, name: str) -> Sequence[str]:
        """Return the metrics of dataset `name` as a whole.

        Raises:
            ManifestError: It uses an environment variable that is not set.
        """
        return self._entry(name).get("metrics") or ()

    def locate(
        self, name: str, destination: str | None = None, *, asked_by: str = ""
    ) -> DatasetLocation:
        """Return the location of dataset `name`: on `destination`, else on its default one.

        Args:
            name: The dataset.
            destination: The destination to read it on.
            asked_by: Who asks for it, such as "pipeline `orders`", for the error.

        Raises:
            EntityNotFound: Neither the manifest nor a pipeline names the dataset, it is disabled
                under the profile, or nothing says where it lives.
            DestinationNotAllowed: The manifest declares it for other destinations.
            ManifestError: Its entry uses an environment variable that is not set.
        """
        return self._locate(name, destination, asked_by, self._loaders)

    def locate_all(self) -> dict[str, DatasetLocation | ProjectError]:
        """Return the location of each dataset of `names()`, or the error that `locate` raises.

        This reads the pipelines once, and not for each dataset.
        """
        loaders = self._loaders()
        names = self._names(loaders if self._project.allow_undefined_entities else {})

        def locate(name: str) -> DatasetLocation | ProjectError:
            try:
                return self._locate(name, None, "", lambda: loaders)
            except ProjectError as error:
                return error

        return {name: locate(name) for name in names}

    def locate_pipeline(
        self, pipeline: str, *, destination: str | None = None, dataset_name: str | None = None
    ) -> DatasetLocation:
        """Return the location of the dataset that `pipeline` loads.

        Args:
            pipeline: The pipeline.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.

        Raises:
            EntityNotFound: The manifest lacks the pipeline, or an entity that it needs.
            DestinationNotAllowed: The manifest declares its dataset for other destinations.
            ManifestError: An entry uses an environment variable that is not set.
        """
        declared_pipeline(self._project, pipeline)
        return self.locate(
            dataset_name or self.name_of(pipeline),
            destination or pipeline_value(self._project, pipeline, "destination"),
            asked_by=f"pipeline `{pipeline}`",
        )

    def _locate(
        self,
        name: str,
        destination: str | None,
        asked_by: str,
        loaders: Callable[[], _Loaders],
    ) -> DatasetLocation:
        if name not in self._manifest.names("datasets"):
            self._check_undeclared(name, destination, asked_by, loaders)
        if not self._is_enabled(name):
            raise EntityNotFound(
                f"{self._position(name)}: dataset `{name}` is disabled under profile "
                f"`{self._project.current_profile}`.",
                f"Use another profile, or take `enabled` out of datasets.{name}.",
            )
        entry = self._entry(name)
        allowed = _as_list(entry.get("destination"))
        if destination and allowed and destination not in allowed:
            asking = asked_by or f"dataset `{name}`"
            raise DestinationNotAllowed(
                f"{self._position(name)}: {asking} asks for dataset `{name}` on "
                f"destination `{destination}`. Allowed: {', '.join(allowed)}.",
                f"Add `{destination}` to datasets.{name}.destination, or use an allowed one.",
            )
        chosen = destination or (allowed[0] if allowed else None)
        chosen = chosen or self._destination_by_pipeline(loaders().get(name, []))
        if chosen is None and asked_by:
            raise EntityNotFound(
                f"{manifest_file(self._project)}: {asked_by} names no destination, and "
                f"neither does its dataset `{name}`.",
                "Give it one: `destination: <a destination>` in its entry.",
            )
        if chosen is None:
            raise EntityNotFound(
                f"{self._position(name)}: nothing says on which destination dataset `{name}` "
                "lives.",
                _how_to_declare(name, None),
            )
        return DatasetLocation(name, chosen, entry.get("contract"))

    def _check_undeclared(
        self,
        name: str,
        destination: str | None,
        asked_by: str,
        loaders: Callable[[], _Loaders],
    ) -> None:
        undefined_allowed = self._project.allow_undefined_entities
        if undefined_allowed and (destination or asked_by or name in loaders()):
            return
        asked = f"{asked_by_clause(asked_by)}," if asked_by else ""
        raise EntityNotFound(
            f"There is no dataset `{name}`{asked} in {manifest_file(self._project)}. "
            f"{known_names(name, self.names())}",
            _how_to_declare(name, destination),
        )

    def _destination_by_pipeline(self, pipelines: list[str]) -> str | None:
        named = (pipeline_value(self._project, p, "destination") for p in pipelines)
        return next((destination for destination in named if destination), None)

    def _loaders(self) -> _Loaders:
        """Return the pipelines by the datasets that they load.

        A pipeline whose dataset is an environment variable that is not set is left out.
        """
        found: dict[str, list[str]] = {}
        for pipeline in self._manifest.names("pipelines"):
            with contextlib.suppress(ManifestError):
                found.setdefault(self.name_of(pipeline), []).append(pipeline)
        return found

    def _names(self, loaders: _Loaders) -> list[str]:
        names = dict.fromkeys((*self._manifest.names("datasets"), *loaders))
        return [name for name in names if self._is_enabled(name)]

    def _is_enabled(self, name: str) -> bool:
        entry = self._manifest.entry("datasets", name) or {}
        enabled = self._manifest.fill(entry.get("enabled"), ("datasets", name, "enabled"))
        # the value of a variable is a text
        return str(enabled).lower() not in ("false", "0", "no")

    def _entry(self, name: str) -> Mapping[str, Any]:
        declared = self._manifest.entry("datasets", name) or {}
        filled: Mapping[str, Any] = self._manifest.fill(declared, ("datasets", name))
        return filled

    def _position(self, name: str) -> EntryPosition:
        return EntryPosition(self._project, "datasets", name)


def _how_to_declare(name: str, destination: str | None) -> str:
    where = destination or "<a destination>"
    return f"Declare it:\n  datasets:\n    {name}:\n      destination: [{where}]"


def _as_list(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
