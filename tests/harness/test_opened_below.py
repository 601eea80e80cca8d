"""Files that are opened during a load, as the system tells them."""

from __future__ import annotations

import ctypes
import sys
from ctypes import CDLL
from pathlib import Path

import pytest

from pytest_dlthub.templates.inotify import opened_below

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, and one in it that is not looked into."""
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "d").touch()
    return tmp_path


def _read(*files: Path) -> None:
    for file in files:
        file.read_bytes()


def test_files_that_are_read_are_told_and_none_that_are_written(folder: Path) -> None:
    with opened_below(str(folder), lambda path: not path.endswith("left")) as found:
        _read(folder / "a", folder / "left" / "d")
        (folder / "b").write_text("new")

    assert found.files == {str(folder / "a")}


def test_more_than_the_system_keeps_is_every_file(folder: Path) -> None:
    with opened_below(str(folder), lambda path: not path.endswith("left")) as found:
        for _ in range(9_000):
            _read(folder / "a", folder / "b")
        _read(folder / "c")

    assert found.files == {str(folder / name) for name in ("a", "b", "c")}


@pytest.mark.parametrize("refused", ["inotify_init1", "inotify_add_watch"])
def test_folder_that_cannot_be_watched_is_every_file_in_it(
    folder: Path, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = CDLL(None)
    monkeypatch.setattr(library, refused, lambda *_: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    with opened_below(str(folder), lambda path: not path.endswith("left")) as found:
        pass

    assert found.files == {str(folder / name) for name in ("a", "b", "c")}
