"""`--dlt-record=compare`: lists how the items of a source have changed since its recording."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt

from dlthub_project.dlt_internals import contexts, seams
from pytest_dlthub.assertions.schema_changes import Change, changes, described

_NAMES = {"pages": "pages", "items": "rows one by one"}


@dataclass
class Items:
    """The items of a resource.

    Attributes:
        yields: Their kind: see `RecordedResource`.
        read: Yields them.
    """

    yields: str
    read: Callable[[], Iterator[Any]]


@dataclass
class _Shape:
    """The shape of the items of resources, without their values.

    Attributes:
        schema: The tables that dlt would make of them, as `described` returns a schema.
        fields: The fields of the rows, as `table.column`, also fields that are always null.
        pages: The number of rows of each page, by resource.
    """

    schema: Mapping[str, Any]
    fields: set[str] = field(default_factory=set)
    pages: dict[str, list[int]] = field(default_factory=dict)


def drift(before: Mapping[str, Items], now: Mapping[str, Items], folder: Path) -> list[Change]:
    """Return the changes in the items of resources, before their maps and without their hints.

    Args:
        before: The recorded items by resource.
        now: The current items by resource.
        folder: A folder for files of pipelines.
    """
    earlier, later = _shape_of(before, folder), _shape_of(now, folder)
    found = [
        change
        for change in changes(earlier.schema, later.schema)
        # a field that is always null in this sample still exists
        if not any(change.text == f"column {one} removed" for one in later.fields)
    ]
    for name in before.keys() & now.keys():
        kinds = before[name].yields, now[name].yields
        pages = earlier.pages[name], later.pages[name]
        # a single page may not be full
        is_other_size = all(len(own) > 1 for own in pages) and max(pages[0]) != max(pages[1])
        if kinds[0] != kinds[1] or is_other_size:
            told = [_told(kind, own) for kind, own in zip(kinds, pages, strict=True)]
            found.append(Change(f"resource {name}: {told[0]} → {told[1]}", kinds[0] != kinds[1]))
    return found


def _shape_of(resources: Mapping[str, Items], place: Path) -> _Shape:
    pages: dict[str, list[int]] = {name: [] for name in resources}
    seen: dict[str, set[tuple[str, ...]]] = {name: set() for name in resources}

    def noted(name: str, items: Items) -> Iterator[Any]:
        for item in items.read():
            rows, _ = seams.unmarked(item)
            pages[name].append(_rows_in(rows))
            for row in rows if isinstance(rows, list) else [rows]:
                seen[name].update(_fields_of(row))
            yield item

    made = [
        dlt.resource(noted(name, items), name=name.replace(".", "_"))
        for name, items in resources.items()
    ]
    with tempfile.TemporaryDirectory(dir=place) as folder, contexts.no_active_pipeline():
        destination = dlt.destinations.duckdb(f"{folder}/shape.duckdb")
        pipeline = dlt.pipeline("recorded", pipelines_dir=folder, destination=destination)
        pipeline.extract(made)
        pipeline.normalize()
        schema = pipeline.default_schema
        naming = schema.naming
        fields = {
            ".".join((naming.normalize_table_identifier(resource.name), _column(path, naming)))
            for resource, paths in zip(made, seen.values(), strict=True)
            for path in paths
        }
        return _Shape(described(schema), fields, pages)


def _column(path: tuple[str, ...], naming: Any) -> str:
    return str(naming.make_path(*map(naming.normalize_identifier, path)))


def _fields_of(row: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(row, Mapping):
        for key, value in row.items():
            yield (*above, str(key))
            yield from _fields_of(value, (*above, str(key)))


def _rows_in(item: Any) -> int:
    if isinstance(item, list):
        return len(item)
    is_row = isinstance(item, Mapping | str | bytes) or not hasattr(item, "__len__")
    return 1 if is_row else len(item)


def _told(kind: str, pages: list[int]) -> str:
    name = _NAMES.get(kind, f"tables of {kind}")
    return name if kind == "items" else f"{name} of up to {max(pages, default=0)}"
