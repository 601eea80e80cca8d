"""Makes dlt's objects from the entries of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import dlt
import dlt.destinations
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.destination.reference import DestinationReference
from dlt.common.exceptions import MissingDependencyException

from dlthub_project import destinations
from dlthub_project.context import Project, ProjectRunContext
from dlthub_project.dlt_internals import pipelines
from dlthub_project.dlt_internals import resources as dlt_sources
from dlthub_project.entities.dataset_locations import Datasets
from dlthub_project.entities.entries import (
    EntryPosition,
    asked_by_clause,
    check_is_active,
    declared_pipeline,
    manifest_file,
    pipeline_value,
)
from dlthub_project.entities.sources import (
    ProjectSourceFactory,
    check_source_name,
    clone_argument_names,
    find_source,
    list_tried,
    named,
)
from dlthub_project.errors import EntityNotFound, EntityReferenceError, ManifestError, known_names

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination


DESTINATION_TYPES = (*dlt.destinations.__all__, *destinations.__all__)
"""The types of destinations that need no code: those of dlt, and those of this package."""

_SOURCE_KEYS = ("type", "with_args")
# not handed to `dlt.pipeline` as they are: `get_pipeline_sources` and the runner read the first
# three, `Datasets` the others
_NO_PLAIN_ARGUMENTS = ("source", "run_config", "after", "destination", "dataset_name")


HasProject: TypeAlias = "Project | ProjectRunContext | DltEntityFactory"
"""What entities, runner and catalog can be made from."""


def entities_of(given: HasProject) -> DltEntityFactory:
    """Return the entities of a project, or of its run context; entities stay as they are.

    Raises:
        TypeError: `given` is none of these.
    """
    return given if isinstance(given, DltEntityFactory) else DltEntityFactory(given)


def _project_of(given: Any) -> Project:
    if isinstance(given, ProjectRunContext | DltEntityFactory):
        return given.project
    kind = type(given).__name__
    raise TypeError(f"a Project or a ProjectRunContext is expected, not {kind}")


class DltEntityFactory:
    """Makes the sources, destinations, datasets and pipelines of a project.

    Listing entities makes no dlt object and imports no code of the project.

    Attributes:
        project: The project under the profile that was active when the factory was made.
        datasets: The datasets of the project, and where they live.
    """

    def __init__(self, project: HasProject) -> None:
        """Make the factory; nothing of the project is made or imported.

        Args:
            project: The project, or its run context.

        Raises:
            TypeError: It is neither.
        """
        self.project = project if isinstance(project, Project) else _project_of(project)
        self.datasets = Datasets(self.project)

    def list_sources(self) -> list[str]:
        """Return the names of the declared sources."""
        return list(self.project.manifest.names("sources"))

    def list_destinations(self) -> list[str]:
        """Return the names of the declared destinations."""
        return list(self.project.manifest.names("destinations"))

    def list_datasets(self) -> list[str]:
        """Return the names of the datasets: declared ones, then those that only pipelines name.

        Datasets that only pipelines name are there if undefined entities are allowed.
        """
        return self.datasets.names()

    def list_pipelines(self) -> list[str]:
        """Return the names of the pipelines."""
        return list(self.project.manifest.names("pipelines"))

    def get_source(self, name: str, *, asked_by: str = "") -> ProjectSourceFactory:
        """Return the factory of source `name`; call it for a `dlt` source.

        Args:
            name: The source.
            asked_by: Who asks for it, for the error.

        Raises:
            EntityNotFound: It is not declared, and undefined entities are not allowed.
            EntityReferenceError: Its type leads to no code.
            ManifestError: It uses an environment variable that is not set.
            ProjectError: dlt cannot call a schema by its name, or another project or profile was
                activated since.
        """
        check_is_active(self.project)
        entry = self._entry("sources", name, "type: <module>.<function>", asked_by)
        position = EntryPosition(self.project, "sources", name, asked_by)
        if entry is None:
            declared = self.project.sources
            factory = find_source(name, self.project.project_dir, position, declared)
            if "." not in name:
                check_source_name(factory, name, position)
            # a dotted name is where dlt looks for its values anyway: sources.<module>.<function>
            return ProjectSourceFactory(factory if "." in name else named(factory, name, {}), name)
        used = {key: entry[key] for key in _SOURCE_KEYS if entry.get(key) is not None}
        filled = self.project.manifest.fill(used, ("sources", name))
        factory = find_source(filled["type"], self.project.project_dir, position)
        arguments = filled.get("with_args", {})
        check_source_name(factory, arguments.get("name", name), position)
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
            EntityReferenceError: Its type leads to no code, or needs a package that is missing.
            ManifestError: Its type is an environment variable that is not set.
            ProjectError: Another project or profile was activated since.
        """
        check_is_active(self.project)
        self._entry("destinations", name, "type: duckdb", asked_by)
        configured = dlt_sources.configured_value("destination_type", str, "destination", name)
        position = EntryPosition(self.project, "destinations", name, asked_by)
        factory = find_destination(configured or name, self.project.project_dir, position)
        try:
            return factory(destination_name=name)
        except MissingDependencyException as error:
            raise EntityReferenceError(f"{position}: {error}") from error

    def get_dataset(self, name: str, destination: str | None = None) -> dlt.Dataset:
        """Return dataset `name`, on its default destination or on `destination`.

        Raises:
            EntityNotFound: Neither the manifest nor a pipeline knows the dataset, or nobody says
                where it lives.
            DestinationNotAllowed: The dataset is declared for other destinations.
            ManifestError: It uses an environment variable that is not set.
            ProjectError: Another project or profile was activated since.
        """
        where = self.datasets.locate(name, destination)
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
            ProjectError: Another project or profile was activated since.
        """
        asked_by = f"pipeline `{name}`"
        arguments = {
            key: pipeline_value(self.project, name, key)
            for key in declared_pipeline(self.project, name)
            if key not in _NO_PLAIN_ARGUMENTS
        }
        where = self.datasets.locate_pipeline(
            name, destination=destination, dataset_name=dataset_name
        )
        arguments["destination"] = self.get_destination(where.destination_name, asked_by=asked_by)
        arguments["dataset_name"] = where.dataset_name
        if staging := arguments.get("staging"):
            arguments["staging"] = self.get_destination(staging, asked_by=asked_by)
        pipeline: dlt.Pipeline = dlt.pipeline(pipeline_name=name, **arguments)
        pipelines.use_local_dir(pipeline, self.project.local_dir)
        return pipeline

    def get_pipeline_sources(self, name: str) -> list[ProjectSourceFactory]:
        """Return the factories of the sources that pipeline `name` declares.

        Raises:
            EntityNotFound: The pipeline or a source is not declared.
            EntityReferenceError: The type of a source leads to no code.
            ManifestError: An environment variable that they use is not set.
        """
        declared = declared_pipeline(self.project, name).get("source") or []
        filled = self.project.manifest.fill(declared, ("pipelines", name, "source"))
        sources = [filled] if isinstance(filled, str) else filled
        return [self.get_source(source, asked_by=f"pipeline `{name}`") for source in sources]

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

    def _entry(
        self, section: str, name: str, example: str, asked_by: str
    ) -> Mapping[str, Any] | None:
        entry = self.project.manifest.entry(section, name)
        if entry is not None or self.project.allow_undefined_entities:
            return entry
        entity = section.removesuffix("s")
        asked = f"{asked_by_clause(asked_by)}," if asked_by else ""
        known = known_names(name, self.project.manifest.names(section))
        raise EntityNotFound(
            f"There is no {entity} `{name}`{asked} in {manifest_file(self.project)}, and "
            f"undefined entities are not allowed there. {known}",
            f"Declare it:\n  {section}:\n    {name}:\n      {example}",
        )


def find_destination(
    reference: str, project_dir: str, position: EntryPosition
) -> Callable[..., AnyDestination]:
    """Return the factory of the destination that `reference` leads to.

    Args:
        reference: The name of a destination of dlt, or a dotted path.
        project_dir: The root of the project's Python modules, for the error.
        position: Where the reference stands, for the error.

    Raises:
        EntityReferenceError: Nothing is found. Code that is found and raises while it is imported
            raises its own error.
    """
    try:
        return DestinationReference.find(reference, raise_exec_errors=True)
    except UnknownDestinationModule as error:
        tried = list_tried(error.traces, "a destination")
        raise EntityReferenceError(
            f"{position}: no destination is found for `{reference}`. Tried, in this order:{tried}",
            f"Give one of dlt's own. {known_names(reference, DESTINATION_TYPES)} Or write a "
            f"function with @dlt.destination into {project_dir}/destinations/ and give its full "
            "dotted path, destinations.<module>.<function>.",
        ) from None
