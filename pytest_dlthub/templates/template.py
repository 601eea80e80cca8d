"""A template: a sandbox that pipelines have loaded, to be copied."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pytest_dlthub.templates.files import Conditions, file_digest

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo
    from dlt.pipeline.trace import PipelineTrace

    from pytest_dlthub.run import PipelineRun


_RECORD = "template.json"
_LOADED = "sandbox"
_USED = "used"
# the state of a pipeline is some kB; no file of data is read for the paths in it
_LARGEST_WITH_PATHS = 1_000_000


# of <linux/fs.h>: share the blocks of another file, until one of the two is written to
_FICLONE = 0x40049409
# as fast as the kernel's own copying, and it knows every file system
_BYTES_AT_ONCE = 1 << 18


class Damaged(Exception):
    """A template is not what was built."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a template: its path there, and its digest when it was built.

    Size in bytes and time of change in ns are those that this process has found.
    """

    path: str
    digest: str
    size: int
    changed: int


@dataclass(frozen=True)
class LoadRecord:
    """What is known of one load without asking its pipeline."""

    dataset_name: str
    row_counts: Mapping[str, int]
    schemas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Template:
    """Loaded data, as files that are never written to again.

    Attributes:
        folder: Where it is.
        session: The session that built it.
        built_in: The folder of the sandbox that it was built in, by its path and its real path;
            both are changed in copies.
        seconds: What the build took.
        conditions: What it was built under.
        loads: What was loaded, by pipeline.
        folders: Its folders, parents first.
        files: Its files.
        with_paths: Those of them that hold paths.
        results: Digests of what the loads returned, by pipeline.
    """

    folder: Path
    session: str
    built_in: tuple[str, str]
    seconds: float
    conditions: Conditions
    loads: Mapping[str, LoadRecord]
    folders: tuple[str, ...]
    files: tuple[StoredFile, ...]
    with_paths: frozenset[str]
    results: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Template:
        """Return the template in `folder`.

        Raises:
            Damaged: There is none that can be read.
        """
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            record["conditions"] = Conditions(**record["conditions"])
            record["loads"] = {
                name: LoadRecord(**load) for name, load in record.pop("loads").items()
            }
            record["built_in"] = tuple(record["built_in"])
            record["files"] = tuple(_stored(folder, *file) for file in record["files"].items())
            record["with_paths"] = frozenset(record["with_paths"])
            return cls(folder=folder, **record)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Damaged(f"{folder}: {error}") from error

    @classmethod
    def write(
        cls,
        folder: Path,
        session: str,
        seconds: float,
        conditions: Conditions,
        runs: Mapping[str, PipelineRun],
    ) -> None:
        """Make a template of the sandbox that was loaded in `folder`."""
        loaded = folder / _LOADED
        # not the global folder: it is not of what was loaded
        paths = sorted((loaded / "data").rglob("*"))
        files = {str(path.relative_to(loaded)): path for path in paths if path.is_file()}
        built_in = _places(str(loaded))
        names = [spelling for place in built_in for spelling in spellings(Path(place))]
        for name, run in runs.items():
            with _results(folder, name).open("wb") as file:
                pickle.dump((run.load_info, run.trace, run.sent), file)
        record = {
            "session": session,
            "built_in": built_in,
            "seconds": seconds,
            "conditions": conditions.to_json(),
            "loads": {name: asdict(_record_of(run)) for name, run in runs.items()},
            "folders": [str(path.relative_to(loaded)) for path in paths if path.is_dir()],
            "files": {name: file_digest(path) for name, path in files.items()},
            "with_paths": [name for name, path in files.items() if _has(path, names)],
            "results": {name: file_digest(_results(folder, name)) for name in runs},
        }
        (folder / _RECORD).write_text(json.dumps(record), encoding="utf-8")

    @staticmethod
    def sandbox_folder(folder: Path) -> Path:
        """Return the folder of the sandbox that a template in `folder` is made of."""
        return folder / _LOADED

    def check(self) -> None:
        """Make sure that every file is as it was built.

        Raises:
            Damaged: One is not.
        """
        digests = {self.folder / _LOADED / file.path: file.digest for file in self.files}
        digests.update({_results(self.folder, name): d for name, d in self.results.items()})
        for path, digest in digests.items():
            try:
                same = file_digest(path) == digest
            except OSError as error:
                raise Damaged(str(error)) from error
            if not same:
                raise Damaged(f"{path} has changed")
        self.__dict__["is_checked"] = True

    @cached_property
    def is_checked(self) -> bool:
        """Whether this process has checked it."""
        return False

    def copy_to(self, folder: str) -> None:
        """Copy the loaded sandbox to `folder`, with the paths in it; all of it or nothing.

        Raises:
            Damaged: A file of the template is gone, or has another size or time than it had.
            OSError: The copy cannot be written.
            FileExistsError: It would overwrite what is there.
        """
        source = str(self.folder / _LOADED)
        made: list[str] = []
        try:
            for name in ("", *self.folders):
                os.makedirs(os.path.join(folder, name), exist_ok=True)
            for file in self.files:
                original, copy = os.path.join(source, file.path), os.path.join(folder, file.path)
                if os.path.exists(copy):
                    raise FileExistsError(copy)
                self._check_is_as_found(original, file)
                made.append(copy)
                if file.path in self.with_paths:
                    _copy_with_paths(original, copy, self.built_in, folder)
                else:
                    copy_file(original, copy)
        except BaseException as error:
            for copy in made:
                with contextlib.suppress(OSError):
                    os.unlink(copy)
            if isinstance(error, FileNotFoundError) and not self._is_complete():
                # deleted while it was copied
                raise Damaged(str(error)) from error
            raise

    def results_of(
        self, name: str
    ) -> tuple[LoadInfo | None, PipelineTrace | None, dict[str, list[Any]]]:
        """Return load info and trace of the build, and what was sent to a custom destination."""
        found: tuple[LoadInfo | None, PipelineTrace | None, dict[str, list[Any]]]
        with _results(self.folder, name).open("rb") as file:
            found = pickle.load(file)
        return found

    def note_use(self) -> None:
        """Note that the template is used now: it is kept for some days from here."""
        try:
            (self.folder / _USED).touch()
        except OSError:
            """A folder that cannot be written to is not pruned by us either."""

    def _check_is_as_found(self, path: str, file: StoredFile) -> None:
        try:
            found = os.stat(path)
        except OSError as error:
            raise Damaged(str(error)) from error
        if (found.st_size, found.st_mtime_ns) != (file.size, file.changed):
            raise Damaged(f"{path} has changed")

    def _is_complete(self) -> bool:
        return all((self.folder / _LOADED / file.path).is_file() for file in self.files)


def _results(folder: Path, name: str) -> Path:
    return folder / f"{name}.pickle"


def _stored(folder: Path, path: str, digest: str) -> StoredFile:
    found = (folder / _LOADED / path).stat()
    return StoredFile(path, digest, found.st_size, found.st_mtime_ns)


def _record_of(run: PipelineRun) -> LoadRecord:
    pipeline = run.pipeline
    schemas = [pipeline.default_schema] if pipeline.default_schema_name else []
    names = [name for name in pipeline.schema_names if name != pipeline.default_schema_name]
    schemas += [pipeline.schemas[name] for name in names]
    return LoadRecord(
        pipeline.dataset_name,
        run.row_counts,
        tuple(schema.to_dict() for schema in schemas),
    )


def _has(path: Path, names: Sequence[bytes]) -> bool:
    if path.stat().st_size > _LARGEST_WITH_PATHS:
        return False
    content = path.read_bytes()
    try:
        # a pickle has the length of a path before it: no other fits
        content.decode()
    except UnicodeDecodeError:
        return False
    return any(name in content for name in names)


def spellings(folder: PurePath) -> tuple[bytes, ...]:
    """Return how files spell an absolute path: as text, in a URL, and in JSON.

    The same again where that is the same: on Windows all of them differ.
    """
    text, url = str(folder), folder.as_uri().removeprefix("file://")
    in_json = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    return tuple(spelt.encode() for spelt in (text, folder.as_posix(), url, *in_json))


def copy_sandboxes(folders: Sequence[str], target: str) -> bool:
    """Copy what sandboxes hold into one, with the paths in it; nothing where two disagree.

    Args:
        folders: Those of the sandboxes.
        target: That of a new one.

    Returns:
        Whether it was copied: no two of them have one file with different content.
    """
    found: dict[str, tuple[str, str]] = {}
    for folder in folders:
        for original in sorted(Path(folder, "data").rglob("*")):
            path = str(original.relative_to(folder))
            copy = os.path.join(target, path)
            if original.is_dir():
                os.makedirs(copy, exist_ok=True)
                continue
            other = found.setdefault(path, (str(original), folder))
            if other[1] != folder and _content(str(original), folder) != _content(*other):
                shutil.rmtree(os.path.join(target, "data"))
                return False
    for path, (source, folder) in found.items():
        copy = os.path.join(target, path)
        places = [spelling for place in _places(folder) for spelling in spellings(Path(place))]
        if _has(Path(source), places):
            _copy_with_paths(source, copy, _places(folder), target)
        else:
            copy_file(source, copy)
    return True


def _places(folder: str) -> tuple[str, str]:
    return (folder, os.path.realpath(folder))


def _content(path: str, folder: str) -> bytes:
    """Return the digest of a file, without the folder that it is in."""
    content = Path(path).read_bytes()
    for place in _places(folder):
        for spelling in spellings(Path(place)):
            content = content.replace(spelling, b"")
    return hashlib.blake2b(content).digest()


def _copy_with_paths(original: str, copy: str, built_in: Sequence[str], folder: str) -> None:
    with open(original, "rb") as file:
        content = file.read()
    # a longer path first: another may be a part of it
    for place in sorted(built_in, key=len, reverse=True):
        for old, new in zip(spellings(Path(place)), spellings(Path(folder)), strict=True):
            content = content.replace(old, new)
    with open(copy, "wb") as file:
        file.write(content)


def copy_file(source: str, target: str) -> None:
    """Copy the content of a file: as a reflink on file systems that have them, else all of it.

    Raises:
        OSError: It cannot be read or written, for instance for lack of space.
    """
    # each file is opened once: a template has many small ones
    with FileIO(source) as original, FileIO(target, "w") as copy:
        if not _reflinked(original, copy):
            shutil.copyfileobj(original, copy, _BYTES_AT_ONCE)


def _reflinked(original: FileIO, copy: FileIO) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
    except OSError:
        return False
    return True
