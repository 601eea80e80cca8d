"""The files that a recording is made of, and what writing it leaves elsewhere."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dlthub_project.errors import ProjectError
from dlthub_project.recordings import Pages, RecordedResource, RecordedRun, Recording, of_today

_RUN = RecordedRun("shop", {"orders": RecordedResource(files=("orders.jsonl",))})


def _write(folder: Path, row: str) -> None:
    pages = {"orders.jsonl": Pages("pages", lines=[[row]])}
    of_today([_RUN], profile=None, masked=()).write(folder, pages)


def test_recordings_of_many_tests_leave_one_file_of_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    for number in range(20):
        _write(tmp_path / "recordings" / f"test_{number}", '{"id": 1}')

    assert len([*temporary.iterdir()]) <= 1
    assert len([*(tmp_path / "recordings").iterdir()]) == 20


def test_recording_that_several_write_at_a_time_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "recordings" / "test_orders"

    with ThreadPoolExecutor(8) as threads:
        [*threads.map(lambda n: _write(folder, f'{{"id": {n}}}'), range(32))]

    (resource,) = Recording.read(folder).runs[0].resources.values()
    (page,) = Recording.read(folder).items_of(folder, resource)
    assert [*page[0]] == ["id"]
    assert [one.name for one in folder.parent.iterdir()] == ["test_orders"]


def test_recording_that_cannot_be_written_is_told_and_leaves_the_earlier_one(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "recordings" / "test_orders"
    _write(folder, '{"id": 1}')
    # as on a full disk: the second file cannot be written
    pages = {name: Pages("pages", lines=[['{"id": 2}']]) for name in ("orders.jsonl", "x" * 300)}

    with pytest.raises(ProjectError) as raised:
        of_today([_RUN], profile=None, masked=()).write(folder, pages)

    assert str(folder) in str(raised.value)
    assert isinstance(raised.value.__cause__, OSError)
    assert (folder / "orders.jsonl").read_text() == '{"id": 1}\n'
    assert [one.name for one in folder.parent.iterdir()] == ["test_orders"]
