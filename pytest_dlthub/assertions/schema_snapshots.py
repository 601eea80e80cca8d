"""Snapshots of schemas, on syrupy: a YAML file for each test, and what has changed since.

Imports syrupy, and so is imported by tests alone that use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from dlt.common.schema import Schema
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from pytest_dlthub.assertions.schema_changes import Change, changes, described, told

_HOW = "pytest --snapshot-update writes the schema as it is now"


class SchemaSnapshot(SingleFileSnapshotExtension):
    """Keeps a schema in a file of its own; any change fails."""

    file_extension = "schema.yaml"
    # syrupy 4 has these names
    _file_extension = file_extension
    _write_mode = WriteMode.TEXT

    def serialize(
        self, data: Any, *, exclude: Any = None, include: Any = None, matcher: Any = None
    ) -> str:
        """Return a schema as YAML.

        Args:
            data: A schema of dlt.
            exclude: Which tables, columns and hints to leave out, as syrupy has it.
            include: Which to keep, as syrupy has it.
            matcher: What syrupy replaces values by; schemas have no such values.

        Raises:
            TypeError: It is no schema.
        """
        if not isinstance(data, Schema):
            raise TypeError(
                f"dlt_schema_snapshot: {type(data).__name__} is no schema; compare it with "
                "run.schema, or use syrupy's own fixture `snapshot`"
            )
        kept = _filtered(described(data), (), exclude, include)
        return yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Tell whether the schema is that of the snapshot."""
        return not self._failing(snapshot_data, serialized_data)

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Yield what has changed since the snapshot."""
        if snapshot_data:
            try:
                yield from told(changes_between(snapshot_data, serialized_data))
            except ValueError as error:
                yield str(error)
        yield _HOW

    def _failing(self, before: str, now: str) -> bool:
        """Tell whether a schema has changes that fail; `--snapshot-update` mends a broken file."""
        try:
            return any(map(self.fails_on, changes_between(before, now)))
        except ValueError:
            return True

    def fails_on(self, change: Change) -> bool:
        """Tell whether a change fails."""
        return True


class AdditiveSchemaSnapshot(SchemaSnapshot):
    """Keeps a schema in a file of its own; breaking changes alone fail."""

    def fails_on(self, change: Change) -> bool:
        """Tell whether a change fails."""
        return change.is_breaking


def changes_between(before: str, now: str) -> list[Change]:
    """Return what has changed between two schemas that are written as YAML.

    Raises:
        ValueError: The first is no such file.
    """
    try:
        earlier = yaml.safe_load(before)
    except yaml.YAMLError as error:
        raise ValueError(f"the snapshot is no YAML: {error}") from error
    tables = earlier.get("tables") if isinstance(earlier, Mapping) else None
    if not isinstance(tables, Mapping) or not all(isinstance(t, Mapping) for t in tables.values()):
        raise ValueError("the snapshot holds no schema")
    return changes(earlier, yaml.safe_load(now))


def additive_changes(results: Mapping[int, Any]) -> list[Change]:
    """Return the changes that have let a test pass.

    Args:
        results: syrupy's results of its comparisons.
    """
    compared = (
        (str(result.recalled_data), str(result.asserted_data))
        for result in results.values()
        if result.success and not (result.created or result.updated)
    )
    return [change for before, now in compared for change in changes_between(before, now)]


class _Dumper(yaml.SafeDumper):
    """Writes a column, and all else that is within a table, on one line."""


def _filtered(data: Any, path: tuple[Any, ...], exclude: Any, include: Any) -> Any:
    """Return nested mappings without what syrupy's filters leave out; columns as lines."""
    if not isinstance(data, dict):
        return data
    kept: dict[Any, Any] = _Line() if len(path) >= _DEPTH_OF_LINES else {}
    for name, value in data.items():
        if exclude is not None and exclude(prop=name, path=path):
            continue
        if include is not None and not include(prop=name, path=path):
            continue
        kept[name] = _filtered(value, (*path, (name, type(value))), exclude, include)
    return kept


class _Line(dict[str, Any]):
    """A mapping that is written on one line."""


# schema, tables, table, columns, column
_DEPTH_OF_LINES = 4


def _line(dumper: yaml.SafeDumper, line: _Line) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", line.items(), flow_style=True)


_Dumper.add_representer(_Line, _line)
