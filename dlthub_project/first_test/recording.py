"""Records a few items that the resources of a pipeline yield, before anything changes them."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dlt
from dlt.extract import DltResource, DltSource

from dlthub_project.dlt_internals import contexts, resources
from dlthub_project.errors import EntityNotFound, ProjectError
from dlthub_project.runner import extractables, narrowed

if TYPE_CHECKING:
    from dlthub_project.entities import DltEntityFactory


@dataclass(frozen=True)
class Item:
    """What a resource's function yielded at once.

    Attributes:
        value: A row, a page of rows, a frame or an Arrow table.
        table: The table that `dlt.mark.with_table_name` names for it, or None.
    """

    value: Any
    table: str | None = None


@dataclass
class Recorded:
    """A resource, and the first items of it.

    Attributes:
        name: How a test names it: `resource`, or `source.resource` where two sources have one.
        is_selected: Whether its own rows are loaded.
        parents: The resources from which it gets its data, directly or not.
        items: What its function yielded.
        columns: The columns that it has from its database, if it is a table of one.
    """

    name: str
    is_selected: bool
    parents: frozenset[str]
    items: list[Item] = field(default_factory=list)
    columns: Mapping[str, Any] = field(default_factory=dict)


def record(
    entities: DltEntityFactory,
    pipeline: str,
    *,
    rows: int,
    limit: int,
    names: Sequence[str] | None = None,
) -> list[Recorded]:
    """Extract a few rows of each resource, with the settings of the active profile.

    Nothing is loaded, and neither data nor state of the pipeline change: it works in a folder that
    is deleted.

    Args:
        entities: The entities of the project.
        pipeline: The pipeline.
        rows: How many rows each resource hands on at most, so that transformers ask for as few.
        limit: The number of pages that each resource yields at most.
        names: The resources; None for all that the sources select.

    Raises:
        EntityNotFound: There is no such pipeline, source or resource; or it declares no source.
        PipelineStepFailed: A source failed.
        ProjectError: A resource yields what no test can hold.
    """
    factories = entities.get_pipeline_sources(pipeline)
    if not factories:
        raise EntityNotFound(
            f"Pipeline `{pipeline}` declares no source, so there is nothing to record.",
            f"Set pipelines.{pipeline}.source.",
        )
    made = narrowed([factory() for factory in factories], names, None)
    data = resources.copy_extractables(extractables(made, "data"))
    for resource in resources.resources_of(data):
        if not resources.has_parent(resource):
            resource.add_limit(limit)
    found = _Recording(data, rows)
    with tempfile.TemporaryDirectory() as folder, contexts.no_active_pipeline():
        destination = dlt.destinations.duckdb(f"{folder}/recorded.duckdb")
        working = dlt.pipeline(pipeline, pipelines_dir=folder, destination=destination)
        working.extract(data)
    if found.refused:
        raise found.refused[0]
    return found.of_resources()


class _Recording:
    def __init__(self, data: Sequence[DltSource | DltResource], rows: int) -> None:
        self.refused: list[ProjectError] = []
        self._rows = rows
        self._known: list[tuple[DltResource, Recorded]] = []
        parts = [(item, resources.resources_of([item])) for item in data]
        counts = Counter(str(resource.name) for _, found in parts for resource in found)
        for item, found in parts:
            listed = item.resources.values() if isinstance(item, DltSource) else (item,)
            prefix = f"{item.name}." if isinstance(item, DltSource) else ""
            names = [str(resource.name) for resource in found]
            full = [f"{prefix}{name}" if counts[name] > 1 else name for name in names]
            for name, resource in zip(full, found, strict=True):
                parents = frozenset(
                    other_name
                    for other_name, other in zip(full, found, strict=True)
                    if resources.descends_from(resource, other)
                )
                is_selected = resource.selected and any(resource is one for one in listed)
                recorded = Recorded(name, is_selected, parents)
                self._known.append((resource, recorded))
                resources.see_items(resource, self._seeing(recorded))

    def of_resources(self) -> list[Recorded]:
        """Return the resources that are loaded, and those that they get their data from."""
        for resource, recorded in self._known:
            recorded.columns = resources.reflected_columns(resource)
        found = [recorded for _, recorded in self._known]
        needed = {name for r in found if r.is_selected for name in (r.name, *r.parents)}
        return [recorded for recorded in found if recorded.name in needed]

    def _seeing(self, recorded: Recorded) -> Any:
        left = self._rows

        def see(item: Any, meta: Any) -> Any:
            nonlocal left
            taken, count = _first(item, left)
            left -= count
            if not count:
                return None
            table = getattr(meta, "table_name", None)
            if meta is not None and table is None:
                self.refused.append(
                    ProjectError(
                        f"Resource `{recorded.name}` yields rows with hints of their own, "
                        "(`dlt.mark.with_hints`), which no row of a test can have.",
                        "Write its test by hand.",
                    )
                )
            # what follows may change it
            value = copy.deepcopy(taken) if hasattr(taken, "copy") else taken
            recorded.items.append(Item(value, table))
            return taken

        return see


def _first(item: Any, rows: int) -> tuple[Any, int]:
    """Return an item with at most a number of rows, and how many it has then."""
    if isinstance(item, list):
        # a page may be one of frames or Arrow tables
        taken: list[Any] = []
        for one in item:
            part, count = _first(one, rows)
            if not count:
                break
            taken.append(part)
            rows -= count
        return taken, sum(_first(one, 1_000_000_000)[1] for one in taken)
    if hasattr(item, "num_rows") and hasattr(item, "slice"):
        part = item.slice(0, rows)
        return part, part.num_rows
    if hasattr(item, "head") and hasattr(item, "columns"):
        part = item.head(rows)
        return part, len(part)
    return (item, 1) if rows > 0 else (None, 0)
