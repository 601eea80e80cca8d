"""Rows of a first test in the files of a recording, beside the test."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dlthub_project.dlt_internals.seams import Mark
from dlthub_project.errors import ProjectError
from dlthub_project.first_test.made_up_values import StandIns
from dlthub_project.first_test.recording import Recorded
from dlthub_project.recordings import (
    ITEMS,
    NotRecordable,
    Pages,
    RecordedResource,
    RecordedRun,
    as_table,
    folder_beside,
    holds_secret,
    kind_of_table,
    line_of,
    name_of_file,
    of_today,
    tables_by_schema,
)


class RecordedRows:
    """Writes what is given to a test into files, and names them as a test does."""

    def __init__(self, path: Path, pipeline: str) -> None:
        """Write nothing yet.

        Args:
            path: The file of the test.
            pipeline: The pipeline.
        """
        self._test = path
        self._pipeline = pipeline
        self._folder = folder_beside(path, pipeline)
        # `write` replaces the folder as a whole; `discard`, when the test fails, deletes a new one
        self._is_new = not self._folder.exists()

    def write(self, recorded: Sequence[Recorded], stand_ins: StandIns) -> dict[str, str]:
        """Write the rows of resources; return the path of each resource, as a test names it.

        Raises:
            ProjectError: A row holds what no file can, or a secret, or frames of several kinds.
        """
        resources: dict[str, RecordedResource] = {}
        files: dict[str, Pages] = {}
        for resource in recorded:
            pages = _pages_of(resource, stand_ins)
            name = name_of_file(resource.name, 1, [one.rpartition(".")[0] for one in files])
            file = f"{name}{pages.ending}"
            files[file] = pages
            resources[resource.name] = RecordedResource(files=(file,), yields=pages.yields)
        run = RecordedRun(self._pipeline, resources)
        of_today([run], profile=None, masked=stand_ins.replaced).write(self._folder, files)
        place = self._folder.relative_to(self._test.parent)
        return {name: (place / one.files[0]).as_posix() for name, one in resources.items()}

    def discard(self) -> None:
        """Delete the files, if they are new."""
        if self._is_new:
            shutil.rmtree(self._folder, ignore_errors=True)
            for folder in (self._folder.parent, self._folder.parent.parent, self._test.parent):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def _pages_of(recorded: Recorded, stand_ins: StandIns) -> Pages:
    tables = [
        as_table(stand_ins.of_item(part))
        for item in recorded.items
        for part in (item.value if isinstance(item.value, list) else [item.value])
        if kind_of_table(part)
    ]
    if tables:
        first = recorded.items[0].value
        kind = kind_of_table(first[0] if isinstance(first, list) else first)
        found = tables_by_schema(str(kind), tables)
        if len(found) > 1:
            raise ProjectError(
                f"`{recorded.name}` yields tables of several schemas, and one file is given.",
                "Take less of it with --rows, or leave out --recorded.",
            )
        return found[0]
    lines: list[list[str]] = []
    try:
        for item in recorded.items:
            mark = Mark(table=item.table) if item.table is not None else None
            lines.append([line_of(stand_ins.of_item(item.value), mark, is_plain=False)])
    except NotRecordable as error:
        raise ProjectError(
            f"`{recorded.name}` yields a value that no file holds: {error}"
        ) from error
    if any(holds_secret(line) for page in lines for line in page):
        raise ProjectError(
            f"What `{recorded.name}` yields holds a secret, and a test must not.",
            "Take the secret out of the rows, or leave the resource out with --resources.",
        )
    return Pages(ITEMS, lines=lines)
