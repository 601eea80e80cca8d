"""The engines that make the tables of a transformation, one module for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dlthub_project.entities import EntryPosition
    from dlthub_project.transformations.cache_database import CacheTables


class Engine(Protocol):
    """Makes the tables of one transformation.

    One object is made for each use of a transformation. It refuses wrong code when it is made.
    """

    def table_names(self) -> list[str]:
        """Return the tables that it would make; make none."""

    def make_tables(self, cache: CacheTables) -> None:
        """Make the tables from the tables of `cache`, in the schema `cache.schema`."""


def find_engine(engine: str, name: str, project_dir: str, position: EntryPosition) -> Engine:
    """Return the engine of transformation `name`.

    Args:
        engine: `python`, `arrow`, `sql` or `dbt`.
        name: The transformation.
        project_dir: The root of the project's Python modules.
        position: Where the transformation stands in `dlt.yml`, for errors.

    Raises:
        ProjectError: Its code is missing or cannot be used.
    """
    # late: an engine may need what is not installed
    if engine == "sql":
        from dlthub_project.transformations.engines.sql import SqlEngine

        return SqlEngine(name, project_dir, position)
    if engine == "dbt":
        from dlthub_project.transformations.engines.dbt import DbtEngine

        return DbtEngine(name, project_dir, position)
    from dlthub_project.transformations.engines.python import PythonEngine

    return PythonEngine(name, project_dir, position)
