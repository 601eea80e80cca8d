"""The columns of a dataset's tables: which there are, and which are marked as personal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlthub_project.errors import ProjectError, known_names

if TYPE_CHECKING:
    import dlt

# dlt's own words for columns with personal data, and the plain one
_MARKS = ("x-annotation-pii", "x-pii", "x-personal")
_LEVEL = "__"


class PersonalColumns:
    """The columns of a dataset that are marked as personal.

    A mark of `address` also counts for what is in it: for `address__street`, and for the table
    `customers__address`.
    """

    def __init__(self, dataset: dlt.Dataset) -> None:
        self._tables = tables_of(dataset)

    def __call__(self, table: str, column: str) -> bool:
        """Tell whether the column, or a column that it or its table is a part of, is marked."""
        while table in self._tables:
            there = self._tables[table]
            parts = column.split(_LEVEL)
            paths = (_LEVEL.join(parts[:count]) for count in range(1, len(parts) + 1))
            hints = [there["columns"].get(path, {}) for path in paths]
            if any(hint.get(mark) for hint in hints for mark in _MARKS):
                return True
            parent = there.get("parent")
            if not parent:
                return False
            # the name of the nested table within its parent
            column, table = table.removeprefix(f"{parent}{_LEVEL}"), parent
        return False

    @property
    def any_there(self) -> bool:
        """Whether any table has such columns."""
        return any(map(self.any_of, self._tables))

    def any_of(self, table: str) -> bool:
        """Tell whether a table has any."""
        return any(self(table, column) for column in self._tables.get(table, {}).get("columns", {}))


def tables_of(dataset: dlt.Dataset) -> dict[str, Any]:
    """Return the tables of all schemas of a dataset; of two with one name, that of the first."""
    found: dict[str, Any] = {}
    for schema in reversed(dataset.schemas):
        found.update(schema.tables)
    return found


def require_columns(
    tables: Mapping[str, Any], table: str, columns: Sequence[str], what: str
) -> None:
    """Refuse to read a table or a column that does not exist.

    Args:
        tables: See `tables_of`.
        table: The table.
        columns: The columns.
        what: What reads them, for errors.

    Raises:
        ProjectError: One is not there; the nearest names are told.
    """
    if table not in tables:
        known = known_names(table, [name for name in tables if not name.startswith("_dlt_")])
        raise ProjectError(
            f"{what}: the dataset has no table `{table}`. {known}",
            "Name a table as it is called in the schema.",
        )
    there = tables[table]["columns"]
    for column in columns:
        if column not in there:
            known = known_names(column, [n for n in there if not n.startswith("_dlt_")])
            raise ProjectError(
                f"{what}: table `{table}` has no column `{column}`. {known}",
                "Name a column as it is called in the schema.",
            )
