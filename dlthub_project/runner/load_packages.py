"""Load packages on disk: what the destination may have of them already, and how to remove it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.exceptions import TerminalException
from dlt.common.storages.load_package import PackageStorage, ParsedLoadJobFileName
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from dlthub_project.dlt_internals import pipelines

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.schema import Schema


_FOLDERS = (
    PackageStorage.NEW_JOBS_FOLDER,
    PackageStorage.STARTED_JOBS_FOLDER,
    PackageStorage.COMPLETED_JOBS_FOLDER,
)


# DELETE and a second run of a job were tried on these. Others may refuse a file that they have seen
# (BigQuery, Snowflake, Databricks, ClickHouse), and its rows would be lost
_SQL = ("duckdb", "motherduck", "postgres")


@dataclass(frozen=True)
class PackageJob:
    """One file of a load package, and how far it came.

    Attributes:
        file_name: The name of the file.
        path: Its path.
        table: The table that it is loaded to.
        file_id: The id in the name of the file.
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
        """Make dlt complete once more a package that it has marked complete and not moved away."""
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
    """Delete extracted packages that dlt has normalized, and was killed before it deleted them.

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


def adopt_schemas_of_extracts(pipeline: dlt.Pipeline) -> None:
    """Give a pipeline the schemas of extracted packages: it was killed before it saved them.

    dlt normalizes nothing in a pipeline without a schema, and its next run drops what is pending.
    """
    load_ids = pipeline.list_extracted_load_packages()
    extracts = pipelines.extracted_packages(pipeline)
    for load_id in load_ids:
        schema = extracts.load_schema(load_id)
        if schema.name not in pipeline.schemas:
            pipelines.adopt_schema(pipeline, schema)


class PackageDestination:
    """The open destination of a pending package."""

    def __init__(self, client: JobClientBase, package: PendingPackage) -> None:
        self._client: Any = client
        self.package = package

    @property
    def is_sql(self) -> bool:
        """Whether rows can be deleted, and their jobs can run again."""
        if self._destination_type.endswith("sqlalchemy"):
            # other databases may lack CREATE TABLE AS, which makes the scratch table
            return str(self._client.sql_client.dialect_name) == "sqlite"
        return self._destination_type.endswith(_SQL)

    @property
    def is_files(self) -> bool:
        """Whether the destination has a file for each job."""
        return self._destination_type.endswith("filesystem")

    @property
    def _destination_type(self) -> str:
        return str(self._client.config.destination_type)

    def column(self, table: str, name: str) -> str | None:
        """Return the column of `table` for `_dlt_id` or `_dlt_load_id`; None if it lacks one."""
        column = str(self.package.schema.naming.normalize_identifier(name))
        columns = self.package.schema.get_table_columns(table, include_incomplete=False)
        return column if column in columns else None

    def is_swapped(self, table: str) -> bool:
        """Whether dlt swaps the table with its staging table, and leaves the latter empty."""
        if not self._destination_type.endswith("postgres"):
            return False
        prepared = self._client.prepare_load_table(table)
        strategy: str | None = prepared.get("x-replace-strategy")
        return prepared["write_disposition"] == "replace" and strategy == "staging-optimized"

    def holds_nothing_else(self, table: str) -> bool:
        """Whether dlt empties the table before it writes: it is a staging table, or replaced."""
        write_disposition = self._client.prepare_load_table(table)["write_disposition"]
        return self._stages(table) or write_disposition == "replace"

    def has_files_named_by_id(self, table: str) -> bool:
        """Whether the names of the table's files have the ids of the jobs that wrote them."""
        table_format = self._client.prepare_load_table(table).get("table_format")
        return "{file_id}" in self._client.config.layout and not table_format

    def remove_file(self, job: PackageJob) -> None:
        """Delete the file that a job has written, whichever date the layout put into its path."""
        try:
            files = self._client.list_table_files(job.table)
        except DestinationUndefinedEntity:
            return
        for path in files:
            if job.file_id in path:
                self._client.fs_client.rm(path)

    def remove_load(self, table: str, column: str | None) -> None:
        """Delete the rows of the package from a table; without `column`, delete all rows."""
        with self._dataset(table) as sql:
            name = sql.make_qualified_table_name(table)
            if column is None:
                sql.execute_sql(f"DELETE FROM {name} WHERE 1 = 1")
            else:
                where = sql.escape_column_name(column)
                sql.execute_sql(f"DELETE FROM {name} WHERE {where} = %s", self.package.load_id)

    def remove_rows_of(self, job: PackageJob, row_id: str, load_id: str | None) -> None:
        """Delete the rows of one job's file from the table, as far as they are there.

        The destination reads the file, whatever its format, into a scratch table that is dropped
        afterwards. A file that it can never load has no rows in the table either.

        Args:
            job: The job.
            row_id: The column `_dlt_id` of its table.
            load_id: The column `_dlt_load_id` of its table, if there is one.
        """
        scratch = scratch_table(job)
        with self._dataset(job.table) as sql:
            name, target = map(sql.make_qualified_table_name, (scratch, job.table))
            column = sql.escape_column_name(row_id)
            sql.execute_sql(f"DROP TABLE IF EXISTS {name}")
            sql.execute_sql(f"CREATE TABLE {name} AS SELECT * FROM {target} WHERE 1 = 0")
            try:
                self._load(job, scratch)
            except (TerminalException, AssertionError):
                return
            else:
                delete = f"DELETE FROM {target} WHERE {column} IN (SELECT {column} FROM {name})"
                if load_id is None:
                    sql.execute_sql(delete)
                else:
                    where = sql.escape_column_name(load_id)
                    sql.execute_sql(f"{delete} AND {where} = %s", self.package.load_id)
            finally:
                sql.execute_sql(f"DROP TABLE IF EXISTS {name}")

    def remove_entry(self) -> None:
        """Delete the entry of the package in `_dlt_loads`; dlt writes it again."""
        schema = self.package.schema
        column = str(schema.naming.normalize_identifier("load_id"))
        self.remove_load(schema.loads_table_name, column)

    def _stages(self, table: str) -> bool:
        return bool(self._client.should_load_data_to_staging_dataset(table))

    @contextmanager
    def _dataset(self, table: str) -> Iterator[Any]:
        """Yield the SQL client of the dataset, or staging dataset, that has `table`."""
        is_data = table in self.package.schema.data_table_names()
        staging = self._client.with_staging_dataset() if is_data and self._stages(table) else None
        # somebody may have dropped the table: then there is nothing to delete
        with suppress(DatabaseUndefinedRelation), staging or nullcontext():
            yield self._client.sql_client

    def _load(self, job: PackageJob, scratch: str) -> None:
        pipelines.run_load_job(self._client, job.path, self.package.load_id, scratch)


def scratch_table(job: PackageJob) -> str:
    """Return the scratch table of a job; the name is always the same, so leftovers are found."""
    return f"_dlt_resume_{job.file_id.lower()}"


@contextmanager
def destination_of_package(
    pipeline: dlt.Pipeline, package: PendingPackage
) -> Iterator[PackageDestination]:
    """Open the destination of a pending package in a block."""
    schema = package.schema.clone()
    # dlt's jobs look up the columns of their table in the schema
    for job in package.jobs():
        if not job.is_followup:
            scratch = scratch_table(job)
            schema.tables[scratch] = {**schema.tables[job.table], "name": scratch}
    with pipelines.destination_client(pipeline, schema) as client:
        yield PackageDestination(client, package)
