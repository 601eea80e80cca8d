"""Sees what the functions of resources yield, and keeps it ready to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlthub_project.dlt_internals import seams
from dlthub_project.errors import ProjectError
from dlthub_project.recordings.files import RecordedResource, name_of_file
from dlthub_project.recordings.functions import arguments_of, function_of
from dlthub_project.recordings.masks import Masks
from dlthub_project.recordings.pages import (
    FRAMES,
    ITEMS,
    PAGES,
    Pages,
    as_table,
    kind_of_table,
    line_of,
    tables_by_schema,
)
from dlthub_project.recordings.sources import Plan, Recordable, hints_of
from dlthub_project.recordings.typed_values import NotRecordable

_FILES = (
    "`{name}` yields files, which `{name}`'s transformers open where they are.",
    'Record what these yield: record="transformers".',
)
_HELD = (
    "`{name}` yields a value that no recording can hold: {error}.",
    "Have its function yield rows of plain values: `dict(row)`, `row.model_dump()`.",
)


class Tap:
    """Keeps what one resource yields.

    Attributes:
        refused: What no recording can hold: the first such error.
        cut_after: The number of pages after which it was cut off; None if it is complete.
    """

    def __init__(self, recordable: Recordable, masks: Masks, pages: int | None) -> None:
        """Put the tap into the resource.

        Args:
            recordable: The resource, which is changed in place.
            masks: What is not shown.
            pages: The number of pages at most; None for all.
        """
        self.refused: list[ProjectError] = []
        self._name = recordable.name
        self._source = recordable.source
        self._feeds = recordable.feeds
        self._resource = recordable.resources[0]
        self._masks = masks
        self._pages = pages
        self.cut_after: int | None = None
        self._count = 0
        self._hints = 0
        self._kinds: dict[str, None] = {}
        # for rows: whether the item is a page, and its lines
        self._lines: list[tuple[bool, list[str]]] = []
        self._tables: list[Any] = []
        # noted before the run, which may move cursors and import code anew
        self._function = function_of(self._resource) or {}
        self._arguments = arguments_of(self._resource)
        for number, resource in enumerate(recordable.resources):
            see = self._passed if number else self._seen
            seams.see_pages(resource, see, None if pages is None else pages + 1)

    @property
    def pages(self) -> int:
        """How many pages were kept."""
        return len(self._lines) - self._hints + len(self._tables)

    @property
    def rows(self) -> int:
        """How many rows were kept."""
        of_tables = sum(int(table.num_rows) for table in self._tables)
        return sum(len(lines) for _, lines in self._lines) - self._hints + of_tables

    def _passed(self, item: Any, _meta: Any) -> Any:
        # of several resources with one name, only the first is recorded
        return item

    def _seen(self, item: Any, meta: Any) -> Any:
        if item is None:
            return None
        # an empty list with hints is no page: sql_database yields one first
        is_hint = meta is not None and isinstance(item, list) and not item
        self._hints += is_hint
        self._count += not is_hint
        if self._pages is not None and self._count + self._hints > self._pages:
            # the function is asked for one page more than are kept, unless it yields hints
            if not is_hint:
                self.cut_after = self._pages
            if self._count > self._pages:
                return None
        try:
            self._keep(item, meta)
        except NotRecordable as error:
            self._refuse(_HELD, error=error)
        return item

    def _keep(self, item: Any, meta: Any) -> None:
        mark = seams.mark_of(meta)
        if meta is not None and mark is None:
            raise NotRecordable(f"with {type(meta).__name__} of its own")
        parts = item if isinstance(item, list) else [item]
        if parts and kind_of_table(parts[0]):
            if mark is not None:
                raise NotRecordable("frames or Arrow tables with marks of their own")
            for part in parts:
                self._kinds[str(kind_of_table(part))] = None
                self._tables.append(self._masks.of_table(self._name, as_table(part)))
            return
        if self._feeds and any(map(seams.is_file, parts)):
            self._refuse(_FILES)
        masked, is_plain = self._masks.of_page(self._name, item)
        is_page = isinstance(masked, list) and mark is None
        if is_page and not any(isinstance(row, list) for row in masked):
            lines = [line_of(row, None, is_plain=is_plain) for row in masked]
            self._kinds[PAGES] = None
        else:
            lines = [line_of(masked, mark, is_plain=is_plain)]
            is_page = False
            self._kinds[ITEMS] = None
        self._lines.append((is_page, lines))

    def _refuse(self, told: tuple[str, str], **values: Any) -> None:
        if not self.refused:
            reason, instruction = (text.format(name=self._name, **values) for text in told)
            self.refused.append(ProjectError(reason, instruction))

    def recorded(self, run: int, taken: Mapping[str, Pages]) -> dict[str, Pages]:
        """Return the files of what was kept, by their names.

        Args:
            run: The number of the run, from 1 on.
            taken: The names of the other files.

        Raises:
            ProjectError: It is something that no recording can hold.
        """
        if self.refused:
            raise self.refused[0]
        kinds = [kind for kind in self._kinds if kind in FRAMES]
        # an item of hints alone may come before tables
        has_rows = not kinds or len(self._lines) > self._hints
        if kinds and (len(kinds) > 1 or has_rows):
            raise ProjectError(
                f"`{self._name}` yields {' and '.join(self._kinds)}; one of these is expected.",
                "Have its function yield one kind.",
            )
        found = [self._of_rows()] if self._lines or not kinds else []
        found += tables_by_schema(kinds[0], self._tables) if kinds else []
        names = [name.rpartition(".")[0] for name in taken]
        files: dict[str, Pages] = {}
        for pages in found:
            name = name_of_file(self._name, run, names)
            names.append(name)
            files[f"{name}{pages.ending}"] = pages
        return files

    def resource(self, files: Mapping[str, Pages]) -> RecordedResource:
        """Return the description of the resource, with its files."""
        return RecordedResource(
            files=tuple(files),
            yields=list(files.values())[-1].yields,
            source=self._source,
            function=self._function.get("name"),
            code=self._function.get("code"),
            arguments=self._arguments,
            cut_after=self.cut_after,
            hints=hints_of(self._resource),
        )

    def _of_rows(self) -> Pages:
        if all(is_page for is_page, _ in self._lines):
            return Pages(PAGES, lines=[lines or ["[]"] for _, lines in self._lines])
        lines = [[f"[{', '.join(own)}]"] if is_page else own for is_page, own in self._lines]
        return Pages(ITEMS, lines=lines)


def tapped(plan: Plan, masks: Masks, pages: int | None) -> dict[str, Tap]:
    """Put taps into the resources of a plan, which must be copies.

    Args:
        plan: What is recorded.
        masks: What is not shown.
        pages: The number of pages of each resource at most; None for all.
    """
    return {name: Tap(one, masks, pages) for name, one in plan.recorded.items()}
