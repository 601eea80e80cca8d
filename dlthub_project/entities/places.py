"""Where an entry of the manifest stands, and who asks for it: the words of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlthub_project.context import Project


def file_of(project: Project) -> str:
    """Return the path of the project's manifest."""
    return str(project.manifest.document.path)


def place_of(project: Project, section: str, name: str, asked_by: str = "") -> str:
    """Return where an entry stands; of one that is not declared, who asks for it."""
    if name not in project.manifest.names(section):
        return f"{file_of(project)}: {section.removesuffix('s')} `{name}`{who(asked_by)}"
    problem = project.manifest.problem((section, name), "")
    return f"{problem.location}: {problem.path}"


def who(asked_by: str, comma: str = "") -> str:
    """Return the clause of a sentence that says who asks; empty when that is not known."""
    return f", which {asked_by} asks for{comma}" if asked_by else ""
