"""What a source yields now, against what was recorded of it, in the words of a schema diff."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt

from dlthub_project.dlt_internals import contexts, seams
from pytest_dlthub.assertions.schemas import Change, changes, described

_NAMES = {"pages": "pages", "items": "rows one by one"}


@dataclass
class Items:
    """What a resource has yielded.

    Attributes:
        yields: Of which kind it is: see `RecordedResource`.
        read: Yields it.
    """

    yields: str
    read: Callable[[], Iterator[Any]]


@dataclass
class _Shape:
    """What is known of the items of resources without their values.

    Attributes:
        schema: The tables that dlt would make of them, as `described` tells a schema.
        nulls: Columns, as `table.column`, that have nulls alone.
        pages: By resource, the number of rows of each page.
    """

    schema: Mapping[str, Any]
    nulls: set[str] = field(default_factory=set)
    pages: dict[str, list[int]] = field(default_factory=dict)


def drift(before: Mapping[str, Items], now: Mapping[str, Items], folder: Path) -> list[Change]:
    """Return what has changed in what resources yield, before maps and without hints of theirs.

    Args:
        before: What was recorded, by resource.
        now: What they yield now.
        folder: Where pipelines may have their files.
    """
    earlier, later = _shape_of(before, folder), _shape_of(now, folder)
    found = [
        change
        for change in changes(earlier.schema, later.schema)
        # a field that is null in this sample is not gone
        if not any(change.text == f"column {one} removed" for one in later.nulls)
    ]
    for name in before.keys() & now.keys():
        kinds = before[name].yields, now[name].yields
        pages = earlier.pages[name], later.pages[name]
        # of one page alone nobody knows whether it is full
        is_other_size = all(len(own) > 1 for own in pages) and max(pages[0]) != max(pages[1])
        if kinds[0] != kinds[1] or is_other_size:
            told = [_told(kind, own) for kind, own in zip(kinds, pages, strict=True)]
            found.append(Change(f"resource {name}: {told[0]} → {told[1]}", kinds[0] != kinds[1]))
    return found


def _shape_of(resources: Mapping[str, Items], place: Path) -> _Shape:
    pages: dict[str, list[int]] = {name: [] for name in resources}

    def noted(name: str, items: Items) -> Iterator[Any]:
        for item in items.read():
            pages[name].append(_rows_in(seams.unmarked(item)[0]))
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
        nulls = {
            f"{table['name']}.{column}"
            for table in schema.data_tables(include_incomplete=True)
            for column, own in table["columns"].items()
            if not own.get("data_type")
        }
        return _Shape(described(schema), nulls, pages)


def _rows_in(item: Any) -> int:
    if isinstance(item, list):
        return len(item)
    is_row = isinstance(item, Mapping | str | bytes) or not hasattr(item, "__len__")
    return 1 if is_row else len(item)


def _told(kind: str, pages: list[int]) -> str:
    name = _NAMES.get(kind, f"tables of {kind}")
    return name if kind == "items" else f"{name} of up to {max(pages, default=0)}"
