"""What is said of a pipeline: in its entry, and in the layers above the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlthub_project.context import active_context, pipeline_argument
from dlthub_project.entities.places import file_of
from dlthub_project.errors import EntityNotFound, ProjectError, known_names

if TYPE_CHECKING:
    from dlthub_project.context import Project


def declared_pipeline(project: Project, name: str) -> Mapping[str, Any]:
    """Return the entry of pipeline `name`, variables as written.

    Raises:
        EntityNotFound: It is not declared.
    """
    entry = project.manifest.entry("pipelines", name)
    if entry is not None:
        return entry
    known = known_names(name, project.manifest.names("pipelines"))
    raise EntityNotFound(
        f"There is no pipeline `{name}` in {file_of(project)}. {known}",
        f"Declare it:\n  pipelines:\n    {name}:\n      source: <a source>\n"
        "      destination: <a destination>",
    )


def pipeline_value(project: Project, pipeline: str, key: str) -> Any:
    """Return an argument of `dlt.pipeline` as dlt finds it for a pipeline, or None.

    Raises:
        ProjectError: The project is not active under this profile.
        ManifestError: It uses an environment variable that is not set.
    """
    check_is_active(project)
    hint = bool if key == "dev_mode" else str
    return pipeline_argument(pipeline, key, hint)


def check_is_active(project: Project) -> None:
    """Make sure that dlt's configuration is that of this project under this profile.

    Raises:
        ProjectError: Another project or profile was activated since.
    """
    active = active_context().project
    if active is not project:
        raise ProjectError(
            f"These entities are of {project!r}, and {active!r} is active now.",
            "Ask for entities(), catalog() or runner() again after switching.",
        )
