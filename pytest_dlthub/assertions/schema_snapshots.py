"""Snapshots of schemas with syrupy: one YAML file for each test, and the changes since.

It imports syrupy, so only tests that use snapshots import it.
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
    """Stores a schema in a file of its own; any change fails."""

    file_extension = "schema.yaml"
    # for syrupy 4
    _file_extension = file_extension
    _write_mode = WriteMode.TEXT

    def serialize(
        self, data: Any, *, exclude: Any = None, include: Any = None, matcher: Any = None
    ) -> str:
        """Return a schema as YAML.

        Args:
            data: A schema of dlt.
            exclude: The tables, columns and hints to leave out, as a filter of syrupy.
            include: The ones to keep, as a filter of syrupy.
            matcher: syrupy's replacement of values; schemas have none to replace.

        Raises:
            TypeError: `data` is no schema.
        """
        if not isinstance(data, Schema):
            raise TypeError(
                f"dlt_schema_snapshot: {type(data).__name__} is no schema; compare it with "
                "run.schema, or use syrupy's own fixture `snapshot`"
            )
        kept = _filtered(described(data), (), exclude, include)
        return yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Tell whether the schema matches the snapshot."""
        return not self._failing(snapshot_data, serialized_data)

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Yield the changes since the snapshot."""
        if snapshot_data:
            try:
                yield from told(changes_between(snapshot_data, serialized_data))
            except ValueError as error:
                yield str(error)
        yield _HOW

    def _failing(self, before: str, now: str) -> bool:
        """Tell whether changes fail the test; a broken file does too: an update replaces it."""
        try:
            return any(map(self.fails_on, changes_between(before, now)))
        except ValueError:
            return True

    def fails_on(self, change: Change) -> bool:
        """Tell whether a change fails the test."""
        return True


class AdditiveSchemaSnapshot(SchemaSnapshot):
    """Stores a schema in a file of its own; only breaking changes fail."""

    def fails_on(self, change: Change) -> bool:
        """Tell whether a change fails the test."""
        return change.is_breaking


def changes_between(before: str, now: str) -> list[Change]:
    """Return the changes between two schemas in YAML.

    Raises:
        ValueError: The first one is no schema in YAML.
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
    """Return the changes that the test has accepted.

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
    """Writes a column, or anything else inside of a table, on one line."""


def _filtered(data: Any, path: tuple[Any, ...], exclude: Any, include: Any) -> Any:
    """Return nested mappings without what syrupy's filters leave out, and columns as lines."""
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


# the levels: schema, tables, table, columns, column
_DEPTH_OF_LINES = 4


def _line(dumper: yaml.SafeDumper, line: _Line) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", line.items(), flow_style=True)


_Dumper.add_representer(_Line, _line)
