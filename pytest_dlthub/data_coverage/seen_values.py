"""Which columns of the rows that a run loads have values, and which merge keys these rows have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlthub_project.dlt_internals import data_events

if TYPE_CHECKING:
    import dlt

# keys of one load that are kept
_MOST_KEYS = 20_000


@dataclass
class SeenTable:
    """What we have seen of one table in one load.

    Attributes:
        columns: The columns that have a value.
        keys: The values of its key, as text; None if there are too many, or nobody has looked.
        key: The columns of its key; None before `key_of` has found them.
        width: How many columns the table had then.
    """

    columns: set[str] = field(default_factory=set)
    keys: set[str] | None = field(default_factory=set)
    key: list[str] | None = None
    width: int = 0

    def key_of(self, columns: Mapping[str, Any]) -> list[str]:
        """Return the columns of its key; look again if rows have brought more columns."""
        if self.key is None or self.width != len(columns):
            self.key, self.width = data_events.key_of(columns), len(columns)
        return self.key

    def add_keys(self, keys: set[str] | None) -> None:
        """Add the keys of further rows."""
        if self.keys is None or keys is None or len(self.keys) + len(keys) > _MOST_KEYS:
            self.keys = None
        else:
            self.keys |= keys


class Values:
    """What we have seen of tables before they are loaded, by load, schema and table."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], SeenTable] = {}

    def see_rows(
        self, load_id: str, schema: str, table: str, rows: Any, columns: Mapping[str, Any]
    ) -> None:
        """Look at rows that are about to be written."""
        given = rows if isinstance(rows, list) else [rows]
        if not given or not isinstance(given[0], dict):
            # Arrow data: `see_files` looks at their files
            return
        found = self._seen.setdefault((load_id, schema, table), SeenTable())
        seen = found.columns
        for row in given:
            if not row.keys() <= seen:
                seen |= {name for name, value in row.items() if value is not None}
        key = found.key_of(columns)
        if key and found.keys is not None:
            found.add_keys({repr([row.get(name) for name in key]) for row in given})

    def see_files(self, pipeline: dlt.Pipeline) -> None:
        """Read the statistics of Parquet files, for Arrow data."""
        for load_id, schema, table, path in data_events.arrow_files(pipeline):
            from pyarrow import parquet

            normalize = schema.naming.normalize_identifier
            with parquet.ParquetFile(path) as file:
                metadata = file.metadata
                if not metadata.num_rows:
                    continue
                found = self._seen.setdefault((load_id, schema.name, table), SeenTable())
                found.columns |= {normalize(name) for name in _with_values(metadata)}
                key = data_events.key_of(schema.tables.get(table, {}).get("columns", {}))
                if key:
                    found.add_keys(_keys_of(file, key, normalize))

    def taken(self, load_ids: list[str], schema: str, table: str) -> SeenTable | None:
        """Remove and return what we have seen of a table in some loads; None if that is nothing."""
        found = [
            seen
            for load_id in load_ids
            if (seen := self._seen.pop((load_id, schema, table), None)) is not None
        ]
        if not found:
            return None
        total = SeenTable()
        for one in found:
            total.columns |= one.columns
            total.add_keys(one.keys)
        return total


def _with_values(metadata: Any) -> set[str]:
    """Return the columns that have a value, and those without statistics, which may have one."""
    found = set()
    for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
        for column in (group.column(n) for n in range(group.num_columns)):
            statistics = column.statistics
            nulls = statistics.null_count if statistics and statistics.has_null_count else None
            if nulls is None or nulls < column.num_values:
                # the parts of a structure are columns of the file
                found.add(column.path_in_schema.partition(".")[0])
    return found


def _keys_of(file: Any, key: list[str], normalize: Any) -> set[str] | None:
    names = {normalize(name): name for name in file.schema_arrow.names}
    if file.metadata.num_rows > _MOST_KEYS or not {*key} <= names.keys():
        return None
    columns = [file.read([names[name]]).column(0).to_pylist() for name in key]
    return {repr([*row]) for row in zip(*columns, strict=True)}
