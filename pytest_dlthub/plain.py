"""Suites of plain dlt code: whether one asks for anything of ours, before its modules are imported.

A pipeline that a module makes when it is imported writes its state at once, into dlt's global
folder: before any test, and so before any sandbox. Only the text of the test files can tell that
early whether the suite is one of ours.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pytest_dlthub.roots import collected_paths

# fixtures and marks that come with a sandbox
_OURS = re.compile(
    rb"\bdlt_(?:config|dataset|destinations?|isolated|load|loaded|project|project_factory|runs?)\b"
)


def asks_for_sandbox(config: pytest.Config) -> bool:
    """Tell whether a file of the suite names one of our fixtures or marks.

    Read are the test files and conftests that this session collects, and the conftests above them,
    up to the first one that does. A fixture of another plugin that uses ours is not seen: ini
    `dlt_isolation = on` says it.
    """
    return any(_OURS.search(_text_of(path)) for path in _files_of(config))


def _text_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # whoever collects it says so
        return b""


def _files_of(config: pytest.Config) -> Iterator[Path]:
    patterns: list[str] = [*config.getini("python_files"), "conftest.py"]
    skipped: list[str] = config.getini("norecursedirs")
    above: set[Path] = set()
    for path in collected_paths(config):
        above.update(folder / "conftest.py" for folder in path.parents)
        if path.is_file():
            yield path
            continue
        for folder, folders, files in os.walk(path):
            folders[:] = [name for name in folders if not _matches(name, skipped)]
            yield from (Path(folder, name) for name in files if _matches(name, patterns))
    yield from (path for path in above if path.is_file())


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
