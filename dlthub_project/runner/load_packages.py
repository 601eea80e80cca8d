"""dlt's load packages on disk, and which of their jobs the destination may have already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dlt
from dlt.common.storages.load_package import PackageStorage, ParsedLoadJobFileName

from dlthub_project.dlt_internals import pipelines

if TYPE_CHECKING:
    from dlt.common.schema import Schema

_FOLDERS = (
    PackageStorage.NEW_JOBS_FOLDER,
    PackageStorage.STARTED_JOBS_FOLDER,
    PackageStorage.COMPLETED_JOBS_FOLDER,
)


@dataclass(frozen=True)
class PackageJob:
    """One file of a load package, and how far it came.

    Attributes:
        file_name: The name of the file.
        path: Its path.
        table: The table that it is loaded to.
        file_id: Its id, which is a part of its name.
        file_format: Its format.
        folder: The folder of the package that it is in.
        marked: Whether the destination has it, and dlt knows.
        doubtful: Whether the destination may have it, and dlt does not know.
    """

    file_name: str
    path: str
    table: str
    file_id: str
    file_format: str
    folder: str
    marked: bool
    doubtful: bool

    @property
    def is_followup(self) -> bool:
        """Whether it moves rows that other jobs have brought to the staging dataset."""
        return self.file_format == "sql"


class PendingPackage:
    """A normalized load package that dlt has not loaded, or not completely."""

    def __init__(self, packages: PackageStorage, load_id: str) -> None:
        self.load_id = load_id
        self._packages = packages
        self.schema: Schema = packages.load_schema(load_id)

    @property
    def is_begun(self) -> bool:
        """Whether dlt has made the tables, and may have started a job."""
        to_make = os.path.join(self.load_id, PackageStorage.SCHEMA_UPDATES_FILE_NAME)
        return not self._packages.storage.has_file(to_make)

    def jobs(self) -> list[PackageJob]:
        """Return the jobs of the package, without those that failed for good."""
        return [
            self._job(folder, file_name) for folder in _FOLDERS for file_name in self._files(folder)
        ]

    def put_back(self, job: PackageJob) -> None:
        """Make dlt run a marked job again; until then the job is doubtful."""
        self._packages.clear_pending_transition(self.load_id, job.file_name)
        if job.folder == PackageStorage.COMPLETED_JOBS_FOLDER:
            started = PackageStorage.STARTED_JOBS_FOLDER
            os.rename(job.path, self._path(started, job.file_name))

    def discard(self, job: PackageJob) -> None:
        """Take a job out of the package."""
        self._packages.clear_pending_transition(self.load_id, job.file_name)
        os.remove(job.path)

    def complete_again(self) -> None:
        """Make dlt complete a package again that it has marked complete and not moved away."""
        marker = os.path.join(self.load_id, PackageStorage.PACKAGE_COMPLETED_FILE_NAME)
        if self._packages.storage.has_file(marker):
            self._packages.storage.delete(marker)

    def _files(self, folder: str) -> list[str]:
        path = self._path(folder)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def _path(self, *parts: str) -> str:
        return self._packages.storage.make_full_path(os.path.join(self.load_id, *parts))

    def _job(self, folder: str, file_name: str) -> PackageJob:
        parsed = ParsedLoadJobFileName.parse(file_name)
        started = folder == PackageStorage.STARTED_JOBS_FOLDER
        told = started and self._packages.load_pending_transition(self.load_id, file_name)
        # the job runs a second time: the first may have failed after the destination committed
        again = folder == PackageStorage.NEW_JOBS_FOLDER and parsed.retry_count > 0
        return PackageJob(
            file_name=file_name,
            path=self._path(folder, file_name),
            table=parsed.table_name,
            file_id=parsed.file_id,
            file_format=parsed.file_format,
            folder=folder,
            marked=folder == PackageStorage.COMPLETED_JOBS_FOLDER
            or bool(told and told[0] == "completed"),
            doubtful=(started and not told) or again,
        )


def pending_packages(pipeline: dlt.Pipeline) -> list[PendingPackage]:
    """Return the packages that dlt has normalized and not loaded, in the order of loading."""
    if not (load_ids := pipeline.list_normalized_load_packages()):
        return []
    packages = pipelines.normalized_packages(pipeline)
    return [PendingPackage(packages, load_id) for load_id in load_ids]


def discard_normalized_extracts(pipeline: dlt.Pipeline) -> None:
    """Delete extracted packages that dlt has normalized, and did not delete because it was killed.

    dlt would normalize them again and fail, because the normalized package is there already.
    """
    if not (extracted := pipeline.list_extracted_load_packages()):
        return
    normalized = {
        *pipeline.list_normalized_load_packages(),
        *pipeline.list_completed_load_packages(),
    }
    extracts = pipelines.extracted_packages(pipeline)
    for load_id in normalized.intersection(extracted):
        extracts.delete_package(load_id)
