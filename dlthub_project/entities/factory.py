"""The factory of a project's entities."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dlt

from dlthub_project import dlt_internals
from dlthub_project.context import Project, active_context, pipeline_argument
from dlthub_project.entities.destinations import find_destination
from dlthub_project.entities.sources import (
    ProjectSourceFactory,
    clone_argument_names,
    find_source,
    named,
)
from dlthub_project.errors import (
    DestinationNotAllowed,
    EntityNotFound,
    ManifestError,
    ProjectError,
    known_names,
)

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.schema.typing import TSchemaContract

_SOURCE_KEYS = ("type", "with_args")
# what a pipeline loads, and how the runner runs it
_NOT_OF_DLT_PIPELINE = ("source", "run_config")
# what the manifest calls otherwise than dlt's configuration of a pipeline
_NAME_IN_CONFIGURATION = {"destination": "destination_type", "staging": "staging_type"}


@dataclass(frozen=True)
class DatasetLocation:
    """Where a dataset lives and what may be written to it.

    Attributes:
        dataset_name: Its name.
        destination_name: The destination that it is looked at on.
        contract: Its schema contract, or None.
    """

    dataset_name: str
    destination_name: str
    contract: TSchemaContract | None = None


class EntityFactory:
    """Makes the live dlt objects of a project's entries.

    Listing entities makes no dlt object and imports no code of the project.
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    def list_sources(self) -> list[str]:
        """Return the names of the declared sources."""
        return list(self.project.manifest.section("sources"))

    def list_destinations(self) -> list[str]:
        """Return the names of the declared destinations."""
        return list(self.project.manifest.section("destinations"))

    def list_datasets(self) -> list[str]:
        """Return the names of the datasets: declared ones, then those that pipelines name.

        The latter only where undefined entities are allowed.
        """
        declared = list(self.project.manifest.section("datasets"))
        if not self.project.allow_undefined_entities:
            return declared
        return list(dict.fromkeys((*declared, *self._datasets_of_pipelines().values())))

    def list_pipelines(self) -> list[str]:
        """Return the names of the pipelines."""
        return list(self.project.manifest.section("pipelines"))

    def get_source(self, name: str, *, asked_by: str = "") -> ProjectSourceFactory:
        """Return the factory of source `name`; call it for a `dlt` source.

        Args:
            name: The source.
            asked_by: Who asks for it, for the error.

        Raises:
            EntityNotFound: It is not declared, and undefined entities are not allowed.
            EntityReferenceError: Its type leads to no code.
            ManifestError: It uses an environment variable that is not set.
        """
        entry = self._entry("sources", name, "type: <module>.<function>", asked_by)
        place = self._place("sources", name, asked_by)
        if entry is None:
            factory = find_source(name, self.project.project_dir, place)
            # a dotted name is where dlt looks for its values anyway: sources.<module>.<function>
            return ProjectSourceFactory(factory if "." in name else named(factory, name, {}), name)
        used = {key: entry[key] for key in _SOURCE_KEYS if entry.get(key) is not None}
        filled = self.project.manifest.fill(used, ("sources", name))
        factory = find_source(filled["type"], self.project.project_dir, place)
        arguments = filled.get("with_args", {})
        self._check_with_args(name, arguments, clone_argument_names(factory))
        keys = [key for key in entry if key not in _SOURCE_KEYS]
        return ProjectSourceFactory(named(factory, name, arguments), name, keys)

    def get_destination(self, name: str, *, asked_by: str = "") -> AnyDestination:
        """Return destination `name`; dlt resolves its configuration when it is used.

        Args:
            name: The destination.
            asked_by: Who asks for it, for the error.

        Raises:
            EntityNotFound: It is not declared, and undefined entities are not allowed.
            EntityReferenceError: Its type leads to no code.
            ManifestError: Its type is an environment variable that is not set.
        """
        self._check_is_active()
        self._entry("destinations", name, "type: duckdb", asked_by)
        configured = dlt_internals.configured_value("destination_type", str, "destination", name)
        factory = find_destination(
            configured or name,
            self.project.project_dir,
            self._place("destinations", name, asked_by),
        )
        return factory(destination_name=name)

    def get_dataset(self, name: str, destination: str | None = None) -> dlt.Dataset:
        """Return dataset `name`, on its default destination or on `destination`.

        Raises:
            EntityNotFound: Neither the manifest nor a pipeline knows the dataset, or nobody says
                where it lives.
            DestinationNotAllowed: The dataset is declared for other destinations.
        """
        where = self.locate_dataset(name, destination)
        return dlt.dataset(
            self.get_destination(where.destination_name, asked_by=f"dataset `{name}`"), name
        )

    def get_pipeline(
        self, name: str, *, destination: str | None = None, dataset_name: str | None = None
    ) -> dlt.Pipeline:
        """Return pipeline `name`, with every argument of `dlt.pipeline` that it declares.

        Args:
            name: The pipeline.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.

        Raises:
            EntityNotFound: The pipeline is not declared, or something that it needs is not.
            DestinationNotAllowed: Its dataset is declared for other destinations.
            ManifestError: It uses an environment variable that is not set.
        """
        asked_by = f"pipeline `{name}`"
        arguments = {
            key: self._pipeline_value(name, key)
            for key in self._declared_pipeline(name)
            if key not in _NOT_OF_DLT_PIPELINE
        }
        where = self.locate_pipeline(name, destination=destination, dataset_name=dataset_name)
        arguments["destination"] = self.get_destination(where.destination_name, asked_by=asked_by)
        arguments["dataset_name"] = where.dataset_name
        if staging := arguments.get("staging"):
            arguments["staging"] = self.get_destination(staging, asked_by=asked_by)
        pipeline: dlt.Pipeline = dlt.pipeline(pipeline_name=name, **arguments)
        dlt_internals.use_local_dir(pipeline, self.project.local_dir)
        return pipeline

    def get_pipeline_sources(self, name: str) -> list[ProjectSourceFactory]:
        """Return the factories of the sources that pipeline `name` declares.

        Raises:
            EntityNotFound: The pipeline or a source is not declared.
            EntityReferenceError: The type of a source leads to no code.
            ManifestError: An environment variable that they use is not set.
        """
        declared = self._declared_pipeline(name).get("source")
        filled = self.project.manifest.fill(declared, ("pipelines", name, "source"))
        asked_by = f"pipeline `{name}`"
        return [self.get_source(source, asked_by=asked_by) for source in _as_list(filled)]

    def dataset_name_of(self, pipeline: str) -> str:
        """Return the name of the dataset that `pipeline` loads; dlt's default if none is named.

        Raises:
            ManifestError: It uses an environment variable that is not set.
        """
        return self._pipeline_value(pipeline, "dataset_name") or f"{pipeline}_dataset"

    def pipelines_of(self, dataset: str) -> list[str]:
        """Return the pipelines that load `dataset`."""
        named = self._datasets_of_pipelines()
        return [pipeline for pipeline, name in named.items() if name == dataset]

    def locate_pipeline(
        self, name: str, *, destination: str | None = None, dataset_name: str | None = None
    ) -> DatasetLocation:
        """Return the dataset that pipeline `name` loads, and where.

        Args:
            name: The pipeline.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.

        Raises:
            EntityNotFound: The pipeline is not declared, or something that it needs is not.
            DestinationNotAllowed: Its dataset is declared for other destinations.
            ManifestError: It uses an environment variable that is not set.
        """
        self._declared_pipeline(name)
        return self.locate_dataset(
            dataset_name or self.dataset_name_of(name),
            destination or self._pipeline_value(name, "destination"),
            asked_by=f"pipeline `{name}`",
        )

    def contract_of(self, dataset: str) -> TSchemaContract | None:
        """Return the schema contract that `dataset` declares.

        Raises:
            ManifestError: It uses an environment variable that is not set.
        """
        return self._declared_dataset(dataset).get("contract")

    def locate_dataset(
        self, name: str, destination: str | None = None, *, asked_by: str = ""
    ) -> DatasetLocation:
        """Return where dataset `name` lives: at `destination`, else at its default one.

        Args:
            name: The dataset.
            destination: The destination to look at it on.
            asked_by: Who asks for it, for the error.

        Raises:
            EntityNotFound: Neither the manifest nor a pipeline knows the dataset, or nobody says
                where it lives.
            DestinationNotAllowed: It is declared for other destinations.
            ManifestError: It uses an environment variable that is not set.
        """
        if name not in self.project.manifest.section("datasets"):
            self._check_undeclared_dataset(name, destination, asked_by)
        entry = self._declared_dataset(name)
        allowed = _as_list(entry.get("destination"))
        if destination and allowed and destination not in allowed:
            who = asked_by or f"dataset `{name}`"
            raise DestinationNotAllowed(
                f"{self._place('datasets', name)}: {who} asks for dataset `{name}` on "
                f"destination `{destination}`. Allowed: {', '.join(allowed)}.",
                f"Add `{destination}` to datasets.{name}.destination, or use an allowed one.",
            )
        chosen = destination or (allowed[0] if allowed else self._destination_by_pipeline(name))
        if chosen is None and asked_by:
            raise EntityNotFound(
                f"{self._file}: {asked_by} names no destination, and its dataset `{name}` neither.",
                "Give it one: `destination: <a destination>` in its entry.",
            )
        if chosen is None:
            raise EntityNotFound(
                f"{self._place('datasets', name)}: nobody says on which destination dataset "
                f"`{name}` lives.",
                _how_to_declare_dataset(name, None),
            )
        return DatasetLocation(name, chosen, entry.get("contract"))

    def _check_is_active(self) -> None:
        """Make sure that dlt's configuration is that of this project under this profile.

        Raises:
            ProjectError: Another project or profile was activated since.
        """
        active = active_context().project
        if active is not self.project:
            raise ProjectError(
                f"These entities are of {self.project!r}, and {active!r} is active now.",
                "Ask for entities(), catalog() or runner() again after switching.",
            )

    def _declared_pipeline(self, name: str) -> Mapping[str, Any]:
        declared = self.project.manifest.section("pipelines")
        if name not in declared:
            raise EntityNotFound(
                f"There is no pipeline `{name}` in {self._file}. {known_names(name, declared)}",
                f"Declare it:\n  pipelines:\n    {name}:\n      source: <a source>\n"
                "      destination: <a destination>",
            )
        entry: Mapping[str, Any] = declared[name]
        return entry

    def _pipeline_value(self, pipeline: str, key: str) -> Any:
        self._check_is_active()
        hint = bool if key == "dev_mode" else str
        return pipeline_argument(pipeline, _NAME_IN_CONFIGURATION.get(key, key), hint)

    def _datasets_of_pipelines(self) -> dict[str, str]:
        """Return the dataset of every pipeline whose environment variables are set."""
        found: dict[str, str] = {}
        for pipeline in self.project.manifest.section("pipelines"):
            with contextlib.suppress(ManifestError):
                found[pipeline] = self.dataset_name_of(pipeline)
        return found

    def _destination_by_pipeline(self, dataset: str) -> str | None:
        named = (self._pipeline_value(p, "destination") for p in self.pipelines_of(dataset))
        return next((destination for destination in named if destination), None)

    def _declared_dataset(self, name: str) -> Mapping[str, Any]:
        declared = self.project.manifest.section("datasets").get(name, {})
        filled: Mapping[str, Any] = self.project.manifest.fill(declared, ("datasets", name))
        return filled

    def _check_with_args(self, source: str, arguments: Iterable[str], known: list[str]) -> None:
        problems = [
            self.project.manifest.problem(
                ("sources", source, "with_args", name),
                f"is no argument of a dlt source factory. {known_names(name, known)}",
            )
            for name in arguments
            if name not in known
        ]
        if problems:
            raise ManifestError(problems)

    def _check_undeclared_dataset(self, name: str, destination: str | None, asked_by: str) -> None:
        undefined_allowed = self.project.allow_undefined_entities
        if undefined_allowed and (destination or asked_by or self.pipelines_of(name)):
            return
        raise EntityNotFound(
            f"There is no dataset `{name}`{_who(asked_by, ',')} in {self._file}. "
            f"{known_names(name, self.list_datasets())}",
            _how_to_declare_dataset(name, destination),
        )

    def _entry(
        self, section: str, name: str, example: str, asked_by: str
    ) -> Mapping[str, Any] | None:
        declared = self.project.manifest.section(section)
        if name in declared:
            entry: Mapping[str, Any] = declared[name]
            return entry
        if self.project.allow_undefined_entities:
            return None
        kind = section.removesuffix("s")
        raise EntityNotFound(
            f"There is no {kind} `{name}`{_who(asked_by, ',')} in {self._file}, and undefined "
            f"entities are not allowed there. {known_names(name, declared)}",
            f"Declare it:\n  {section}:\n    {name}:\n      {example}",
        )

    @property
    def _file(self) -> str:
        return str(self.project.manifest.document.path)

    def _place(self, section: str, name: str, asked_by: str = "") -> str:
        """Return where an entry stands; of one that is not declared, who asks for it."""
        if name not in self.project.manifest.section(section):
            return f"{self._file}: {section.removesuffix('s')} `{name}`{_who(asked_by)}"
        problem = self.project.manifest.problem((section, name), "")
        return f"{problem.location}: {problem.path}"


def _who(asked_by: str, comma: str = "") -> str:
    return f", which {asked_by} asks for{comma}" if asked_by else ""


def _how_to_declare_dataset(name: str, destination: str | None) -> str:
    where = destination or "<a destination>"
    return f"Declare it:\n  datasets:\n    {name}:\n      destination: [{where}]"


def _as_list(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
