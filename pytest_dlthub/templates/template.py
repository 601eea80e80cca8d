"""A template: a sandbox with loaded data, of which tests get copies."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dlthub.sandbox_copies import copy_file, copy_with_paths, has_paths, places_of, spellings
from pytest_dlthub.templates.read_files import Conditions, file_digest

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo
    from dlt.pipeline.trace import PipelineTrace

    from pytest_dlthub.pipeline_run import PipelineRun


_RECORD = "template.json"
_LOADED = "sandbox"
_USED = "used"


class Damaged(Exception):
    """A template has changed since it was built."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a template: its path there, and its digest when it was built.

    This process has found the size in bytes, and the time of change in ns.
    """

    path: str
    digest: str
    size: int
    changed: int


@dataclass(frozen=True)
class LoadRecord:
    """What we know of one load without opening its pipeline."""

    dataset_name: str
    row_counts: Mapping[str, int]
    schemas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Template:
    """Loaded data, in files that nobody writes to again.

    Attributes:
        folder: Where it is.
        session: The session that built it.
        built_in: The folder of the sandbox of the build, as path and as real path; a copy has its
            own folder in their place.
        seconds: How long the build took.
        conditions: What the build has read beyond its key.
        loads: The loads by pipeline.
        folders: Its folders, parents first.
        files: Its files.
        with_paths: The files that contain paths.
        results: Digests of the results of loads, by pipeline.
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
            Damaged: There is no template, or it cannot be read.
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
        """Make a template of the loaded sandbox in `folder`."""
        loaded = folder / _LOADED
        # without the global folder, which has nothing of the load
        paths = sorted((loaded / "data").rglob("*"))
        files = {str(path.relative_to(loaded)): path for path in paths if path.is_file()}
        built_in = places_of(str(loaded))
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
            "with_paths": [name for name, path in files.items() if has_paths(path, names)],
            "results": {name: file_digest(_results(folder, name)) for name in runs},
        }
        (folder / _RECORD).write_text(json.dumps(record), encoding="utf-8")

    @staticmethod
    def sandbox_folder(folder: Path) -> Path:
        """Return the folder of the sandbox in the folder of a template."""
        return folder / _LOADED

    def check(self) -> None:
        """Make sure that every file is as it was built.

        Raises:
            Damaged: A file has changed.
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
        """Copy the loaded sandbox to `folder`, and adapt the paths in it; all or nothing.

        Raises:
            Damaged: A file of the template is gone, or its size or time has changed.
            OSError: The copy cannot be written.
            FileExistsError: The copy would overwrite a file.
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
                    copy_with_paths(original, copy, self.built_in, folder)
                else:
                    copy_file(original, copy)
                if is_database(file.path):
                    # whatever is written to it later gives it another time
                    os.utime(copy, ns=(file.changed, file.changed))
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
        """Return load info, trace, and the items for a custom destination, of the build."""
        found: tuple[LoadInfo | None, PipelineTrace | None, dict[str, list[Any]]]
        with _results(self.folder, name).open("rb") as file:
            found = pickle.load(file)
        return found

    def note_use(self) -> None:
        """Note that a test uses the template now, so that it is kept for some more days."""
        try:
            (self.folder / _USED).touch()
        except OSError:
            """We do not prune a folder that we cannot write to."""

    def _check_is_as_found(self, path: str, file: StoredFile) -> None:
        try:
            found = os.stat(path)
        except OSError as error:
            raise Damaged(str(error)) from error
        if (found.st_size, found.st_mtime_ns) != (file.size, file.changed):
            raise Damaged(f"{path} has changed")

    def _is_complete(self) -> bool:
        return all((self.folder / _LOADED / file.path).is_file() for file in self.files)


def is_database(path: str) -> bool:
    """Tell whether a file of a template is a DuckDB that stands for a destination."""
    return path.endswith(".duckdb")


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
