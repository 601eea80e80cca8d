"""The files of a recording: a folder with rows by resource and run, and `recording.yml`."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from filelock import FileLock

from dlthub_project.errors import ProjectError
from dlthub_project.recordings.pages import Pages, read_pages

RECORD = "recording.yml"

_FOLDER = "recordings"
_FORMAT = 1
_HEAD = "# Written by pytest --dlt-record. The rows stand beside it, and may be edited.\n"
_NOT_IN_NAMES = re.compile(r"[^\w.\[\]=,+-]")
_LONGEST_NAME = 80


@dataclass(frozen=True)
class RecordedResource:
    """What is known of a resource in one run.

    Attributes:
        files: The names of its files, in order.
        yields: `pages`, lists of rows; `items`, one after another; or `arrow`, `pandas`, `polars`.
        source: Its source; None for a resource alone.
        function: The name of the function that has yielded them; None for data alone.
        code: A digest of the code of that function.
        arguments: What it extracted with, but for secrets and objects.
        cut_after: The number of pages after which it was cut off; None if it is complete.
        hints: The hints that the resource has from its database.
    """

    files: tuple[str, ...] = ()
    yields: str = "pages"
    source: str | None = None
    function: str | None = None
    code: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cut_after: int | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordedRun:
    """One run of a pipeline.

    Attributes:
        pipeline: The pipeline.
        resources: What was recorded, by resource.
        cursors: The cursors before the run, as values of JSON: from where on an API was asked.
    """

    pipeline: str
    resources: Mapping[str, RecordedResource]
    cursors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recording:
    """All that was recorded for one test.

    Attributes:
        runs: Its runs, in order.
        recorded: The day on which it was recorded.
        profile: The profile of the project or workspace; None for plain dlt code.
        masked: The fields whose values are stand-ins, as `resource.field`.
        versions: The versions of dlt and of this package.
    """

    runs: tuple[RecordedRun, ...]
    recorded: str = ""
    profile: str | None = None
    masked: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Return the recording in a folder.

        Raises:
            ProjectError: There is none that can be read.
        """
        path = folder / RECORD
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
            runs = tuple(_run(run) for run in found["runs"])
            values = {name: found[name] for name in found if name not in ("format", "runs")}
            values["masked"] = tuple(found.get("masked") or ())
            if found["format"] != _FORMAT:
                raise ValueError(f"format {found['format']} is not known, {_FORMAT} is expected")
            return cls(runs=runs, **values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
            told = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ProjectError(
                f"{path} is no recording that can be read: {told}", "Record it again."
            ) from error

    def write(self, folder: Path, pages: Mapping[str, Pages]) -> None:
        """Write the recording into a folder, as a whole or not at all; it replaces an earlier one.

        Args:
            folder: The folder.
            pages: The content of the files, by their names.

        Raises:
            ProjectError: It cannot be written.
        """
        written = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
        replaced = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
        try:
            written.mkdir(parents=True)
            for name, content in pages.items():
                content.write(written / name)
            (written / RECORD).write_text(self._to_yaml(), encoding="utf-8")
            # workers and sessions may record one test at the same time
            with FileLock(_lock()):
                if folder.exists():
                    os.rename(folder, replaced)
                os.rename(written, folder)
        except OSError as error:
            if replaced.exists() and not folder.exists():
                os.rename(replaced, folder)
            raise ProjectError(
                f"the recording {folder} cannot be written, and nothing of it is kept: {error}",
                "Free space there, or make the folder writable, and record it again.",
            ) from error
        finally:
            shutil.rmtree(written, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)

    def items_of(self, folder: Path, resource: RecordedResource) -> Iterator[Any]:
        """Yield what the function of a resource has yielded, anew with each call.

        Raises:
            ProjectError: A file is missing or broken.
        """
        for name in resource.files:
            yield from read_pages(folder / name, resource.yields)

    def _to_yaml(self) -> str:
        found: dict[str, Any] = {
            "format": _FORMAT,
            "recorded": self.recorded,
            "profile": self.profile,
            "versions": dict(self.versions),
            "masked": sorted(self.masked),
            "runs": [
                {
                    "pipeline": run.pipeline,
                    "cursors": dict(run.cursors),
                    "resources": {
                        name: {
                            key: list(value) if isinstance(value, tuple) else value
                            for key, value in asdict(resource).items()
                            if value not in (None, {})
                        }
                        for name, resource in run.resources.items()
                    },
                }
                for run in self.runs
            ],
        }
        kept = {name: value for name, value in found.items() if value not in (None, [], {})}
        for run in kept.get("runs", ()):
            if not run["cursors"]:
                del run["cursors"]
        return _HEAD + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)


def _lock() -> Path:
    """Return one file for all recordings of this user, whatever sandbox a process is in.

    A lock for each recording would leave a file each: nobody can remove the file of a lock that
    others may wait for. One lock is enough, because it is held only for an instant.
    """
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir(), f"dlt-record-of-{user}.lock")


def of_today(
    runs: Iterable[RecordedRun], *, profile: str | None, masked: Iterable[str]
) -> Recording:
    """Return a recording of today, with the present versions."""
    versions = _versions()
    day = datetime.now(timezone.utc).date().isoformat()
    return Recording(tuple(runs), day, profile, tuple(sorted(masked)), versions)


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("dlt", "pytest-dlthub")}


def is_recorded(folder: Path) -> bool:
    """Tell whether there is a recording in a folder."""
    return (folder / RECORD).is_file()


def files_of(folder: Path) -> list[Path]:
    """Return the files of a recording, in a stable order."""
    return sorted(path for path in folder.iterdir() if path.is_file())


def safe_name(name: str) -> str:
    """Return a name that every file system takes; another one for another name."""
    safe = _NOT_IN_NAMES.sub("_", name).strip(".")
    if safe == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{safe[:_LONGEST_NAME]}-{sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"


def folder_beside(test: Path, name: str) -> Path:
    """Return the folder of a recording: `recordings/test_shop/<name>` beside `test_shop.py`."""
    return test.parent / _FOLDER / safe_name(test.stem) / safe_name(name)


def read_recorded_file(path: Path) -> list[Any] | None:
    """Return what a file of a recording holds; None for a file of no recording.

    Raises:
        ProjectError: The file is part of a recording, and cannot be read.
    """
    if not is_recorded(path.parent):
        return None
    for run in Recording.read(path.parent).runs:
        for resource in run.resources.values():
            if path.name in resource.files:
                return list(read_pages(path, resource.yields))
    return None


def name_of_file(resource: str, run: int, taken: Sequence[str]) -> str:
    """Return the name of a resource's file, without its ending.

    Args:
        resource: The resource.
        run: The number of the run, from 1 on.
        taken: The names of the other files.
    """
    name = safe_name(resource) + (f".run{run}" if run > 1 else "")
    same = {one.lower() for one in taken}
    number = 1
    found = name
    while found.lower() in same:
        number += 1
        found = f"{name}.{number}"
    return found


def _run(found: Mapping[str, Any]) -> RecordedRun:
    known = {one.name for one in fields(RecordedResource)}
    resources = {}
    for name, values in found["resources"].items():
        if unknown := values.keys() - known:
            raise ValueError(f"`{name}` has the unknown key `{min(unknown)}`")
        resources[name] = RecordedResource(**{**values, "files": tuple(values.get("files", ()))})
    return RecordedRun(found["pipeline"], resources, found.get("cursors") or {})
