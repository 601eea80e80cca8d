"""The entries of a project's manifest: where they stand, and the values that dlt finds for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlthub_project.context import active_context, pipeline_argument
from dlthub_project.errors import EntityNotFound, ProjectError, known_names

if TYPE_CHECKING:
    from dlthub_project.context import Project


@dataclass(frozen=True)
class EntryPosition:
    """Where an entry stands in `dlt.yml`, as the first words of an error.

    The text is made when an error is printed, and not before: most calls succeed.

    Attributes:
        project: The project.
        section: The section of the manifest, such as `sources`.
        name: The entry.
        asked_by: Who needs the entry, such as "pipeline `orders`"; empty if nobody else does.
    """

    project: Project
    section: str
    name: str
    asked_by: str = ""

    def __str__(self) -> str:
        manifest = self.project.manifest
        if self.name in manifest.names(self.section):
            problem = manifest.problem((self.section, self.name), "")
            return f"{problem.location}: {problem.path}"
        entity = f"{self.section.removesuffix('s')} `{self.name}`"
        return f"{manifest_file(self.project)}: {entity}{asked_by_clause(self.asked_by)}"


def manifest_file(project: Project) -> str:
    """Return the path of the project's manifest."""
    return str(project.manifest.document.path)


def asked_by_clause(asked_by: str) -> str:
    """Return the clause that says who needs an entry; empty if nobody else does."""
    return f", which {asked_by} asks for" if asked_by else ""


def declared_pipeline(project: Project, name: str) -> Mapping[str, Any]:
    """Return the entry of pipeline `name`, with its variables as they are written.

    Raises:
        EntityNotFound: The manifest does not declare it.
    """
    entry = project.manifest.entry("pipelines", name)
    if entry is not None:
        return entry
    known = known_names(name, project.manifest.names("pipelines"))
    raise EntityNotFound(
        f"There is no pipeline `{name}` in {manifest_file(project)}. {known}",
        f"Declare it:\n  pipelines:\n    {name}:\n      source: <a source>\n"
        "      destination: <a destination>",
    )


def pipeline_value(project: Project, pipeline: str, key: str) -> Any:
    """Return the value that dlt finds for an argument of `dlt.pipeline`, or None.

    Raises:
        ProjectError: The project is not active under this profile.
        ManifestError: The value uses an environment variable that is not set.
    """
    check_is_active(project)
    hint = bool if key == "dev_mode" else str
    return pipeline_argument(pipeline, key, hint)


def check_is_active(project: Project) -> None:
    """Make sure that dlt is configured by this project under this profile.

    Raises:
        ProjectError: Somebody has activated another project or profile since.
    """
    active = active_context().project
    if active is not project:
        raise ProjectError(
            f"These entities are of {project!r}, and {active!r} is active now.",
            "Ask for entities(), catalog() or runner() again after switching.",
        )
