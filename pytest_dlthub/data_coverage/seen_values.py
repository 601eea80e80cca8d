"""Which columns of what a run loads have values, and which keys its rows have."""

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
    """What was seen of one table in one load.

    Attributes:
        columns: Those with a value.
        keys: The values of its key, as text; None where there are too many, or nobody has looked.
        key: The columns of that key; None before they are asked for.
        width: How many columns there were then.
    """

    columns: set[str] = field(default_factory=set)
    keys: set[str] | None = field(default_factory=set)
    key: list[str] | None = None
    width: int = 0

    def key_of(self, columns: Mapping[str, Any]) -> list[str]:
        """Return its key, asked for anew when it has more columns: rows come one by one."""
        if self.key is None or self.width != len(columns):
            self.key, self.width = data_events.key_of(columns), len(columns)
        return self.key

    def add_keys(self, keys: set[str] | None) -> None:
        """Take keys of more of its rows."""
        if self.keys is None or keys is None or len(self.keys) + len(keys) > _MOST_KEYS:
            self.keys = None
        else:
            self.keys |= keys


class Values:
    """What was seen of tables that are not loaded yet, by load, schema and table."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], SeenTable] = {}

    def see_rows(
        self, load_id: str, schema: str, table: str, rows: Any, columns: Mapping[str, Any]
    ) -> None:
        """Look at rows that are about to be written."""
        given = rows if isinstance(rows, list) else [rows]
        if not given or not isinstance(given[0], dict):
            # Arrow data: their files were looked at
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
        """Look at what files of Arrow data say of themselves."""
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
        """Return what was seen of a table in some loads; None if nothing, and forget it."""
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
    """Return the columns that are not null in all rows; those that do not tell are not either."""
    found = set()
    for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
        for column in (group.column(n) for n in range(group.num_columns)):
            statistics = column.statistics
            nulls = statistics.null_count if statistics and statistics.has_null_count else None
            if nulls is None or nulls < column.num_values:
                # of a structure, its parts are columns
                found.add(column.path_in_schema.partition(".")[0])
    return found


def _keys_of(file: Any, key: list[str], normalize: Any) -> set[str] | None:
    names = {normalize(name): name for name in file.schema_arrow.names}
    if file.metadata.num_rows > _MOST_KEYS or not {*key} <= names.keys():
        return None
    columns = [file.read([names[name]]).column(0).to_pylist() for name in key]
    return {repr([*row]) for row in zip(*columns, strict=True)}
