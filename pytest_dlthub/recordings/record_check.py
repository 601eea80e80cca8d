"""`--dlt-record-check`: collects each recording as an item that fails if it shows a secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlthub_project.dlt_internals import seams
from dlthub_project.errors import ProjectError
from dlthub_project.recordings import (
    FRAMES,
    RECORD,
    Masks,
    Recording,
    as_table,
    files_of,
    holds_secret,
)
from dlthub_project.secrets import is_secret_name
from pytest_dlthub.recordings.record_options import masks_of

_MOST = 20


def is_recording(path: Path) -> bool:
    """Tell whether a file is the `recording.yml` of a recording."""
    return path.name == RECORD


class RecordingFile(pytest.File):
    """A recording."""

    def collect(self) -> Iterable[pytest.Item]:
        """Return the one item that checks it."""
        return [RecordingCheck.from_parent(self, name="shows no secret and no person")]


class RecordingCheck(pytest.Item):
    """Checks that a recording shows neither a secret nor a person."""

    def runtest(self) -> None:
        """Look through all files of the recording.

        Raises:
            Failed: A file shows something that it must not.
        """
        found = list(dict.fromkeys(_findings(self.path.parent, masks_of(self.config))))
        if found:
            more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
            pytest.fail("\n".join([f"{self.path.parent} shows:", *found[:_MOST], *more]), False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where it is, for reports."""
        return self.path, None, f"{self.path.parent.name}: {self.name}"


def _findings(folder: Path, patterns: list[str]) -> Iterator[str]:
    for path in files_of(folder):
        if path.suffix != ".parquet" and holds_secret(path.read_text("utf-8", "replace")):
            yield f"  {path.name}: a secret. Record it again, and change the secret"
    try:
        recording = Recording.read(folder)
        for run in recording.runs:
            for name, resource in run.resources.items():
                masks = Masks(patterns)
                items = recording.items_of(folder, resource)
                rows = [row for item in items for row in _rows(item, resource.yields)]
                yield from _of_rows(name, rows, masks, set(recording.masked))
    except ProjectError as error:
        yield f"  {error}"


def _of_rows(name: str, rows: list[Any], masks: Masks, masked: set[str]) -> Iterator[str]:
    # the masks note which values they would replace, and which look personal
    masks.of_page(name, rows)
    masks.look_at_rows(name, rows)
    for field in masks.fields:
        if field not in masked:
            is_secret = is_secret_name([field.rpartition(".")[2]])
            why = "a name of secrets" if is_secret else "named in dlt_record_mask, or a secret"
            yield f"  {field}: {why}, and recorded before it was masked. Record it again"
    for field in masks.personal:
        if field not in masked:
            yield (
                f"  {field}: looks personal. Name it in the ini option dlt_record_mask and record "
                f"again, or write `!{field}` there"
            )


def _rows(item: Any, yields: str) -> list[Any]:
    found, _ = seams.unmarked(item)
    if yields in FRAMES:
        rows: list[Any] = as_table(found).to_pylist()
        return rows
    return found if isinstance(found, list) else [found]
