"""What makes the tables of a transformation, one module an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dlthub_project.entities import EntryPosition
    from dlthub_project.transformations.cache_database import CacheTables


class Engine(Protocol):
    """Makes the tables of one transformation.

    Made once for each use of a transformation: what is wrong with its code is said then.
    """

    def table_names(self) -> list[str]:
        """Return the tables that it makes, without making any."""

    def make_tables(self, cache: CacheTables) -> None:
        """Make them, of what `cache` offers, in the schema `cache.schema` of its database."""


def find_engine(kind: str, name: str, project_dir: str, position: EntryPosition) -> Engine:
    """Return the engine of transformation `name`.

    Args:
        kind: `python`, `arrow`, `sql` or `dbt`.
        name: The transformation.
        project_dir: The root of the project's Python modules.
        position: Where the transformation stands in `dlt.yml`, for errors.

    Raises:
        ProjectError: Its code is missing or cannot be used.
    """
    # an engine imports what it needs, and what may not be installed
    if kind == "sql":
        from dlthub_project.transformations.engines.sql import SqlEngine

        return SqlEngine(name, project_dir, position)
    if kind == "dbt":
        from dlthub_project.transformations.engines.dbt import DbtEngine

        return DbtEngine(name, project_dir, position)
    from dlthub_project.transformations.engines.python import PythonEngine

    return PythonEngine(name, project_dir, position)
