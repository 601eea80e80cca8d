"""Finishes the packages that an earlier run left pending, so that each row is loaded once.

dlt loads every job again that it has not marked as done. The destination may have committed such a
job already, if the process was killed or the connection was lost before dlt marked it. Its rows are
removed first. `docs/explanation/what-survives-a-crash.md` says what holds where.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dlt.common import logger as dlt_logger
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals import pipelines
from dlthub_project.runner import load_packages
from dlthub_project.runner.load_packages import PackageDestination, PackageJob, PendingPackage

if TYPE_CHECKING:
    import dlt
    from dlt.common.destination import TDestinationReferenceArg


logger = logging.getLogger(__name__)


def finish_pending(pipeline: dlt.Pipeline) -> None:
    """Normalize and load what an earlier run left pending.

    Raises:
        PipelineStepFailed: As `dlt.Pipeline.normalize` and `dlt.Pipeline.load` raise it.
    """
    # dlt#3227: `run()` loads the pending data and leaves the new data out. It also deletes
    # extracted data if the dataset does not exist yet
    if not pipeline.has_pending_data:
        return
    pipeline.activate()
    load_packages.discard_normalized_extracts(pipeline)
    load_packages.adopt_schemas_of_extracts(pipeline)
    if pipeline.list_extracted_load_packages():
        pipeline.normalize()
    if pipeline.list_normalized_load_packages():
        settle_pending(pipeline)
        pipeline.load()


def settle_pending(pipeline: dlt.Pipeline) -> None:
    """Remove the rows and files that `dlt.Pipeline.load` would write a second time.

    If this is interrupted, the next call does it once more, as long as dlt has not loaded the job.

    Raises:
        PipelineStepFailed: The destination does not answer.
    """
    for package in load_packages.pending_packages(pipeline):
        package.complete_again()
        if package.is_begun:
            try:
                _settle(pipeline, package)
            except Exception as error:
                raise PipelineStepFailed(pipeline, "load", package.load_id, error) from error


def _settle(pipeline: dlt.Pipeline, package: PendingPackage) -> None:
    unfinished = [job for job in package.jobs() if not job.marked]
    doubtful = [job for job in unfinished if job.doubtful]
    if unfinished and not doubtful and not _has_stale_followups(package):
        return
    if pipeline.staging is not None:
        _warn(package, doubtful, "staged in files")
        return
    with load_packages.destination_of_package(pipeline, package) as destination:
        if destination.is_sql:
            _settle_followups(package, destination)
            _settle_rows(package, destination)
            if not unfinished:
                # `_dlt_loads` may have its entry already
                destination.remove_entry()
        elif destination.is_files:
            _settle_files(package, destination)
        else:
            _warn(package, doubtful, "at a destination where nothing can be removed")


def _settle_files(package: PendingPackage, destination: PackageDestination) -> None:
    for job in package.jobs():
        if job.doubtful and destination.has_files_named_by_id(job.table):
            destination.remove_file(job)
        elif job.doubtful:
            _warn(package, [job], "in files without the id of the job")


def _settle_rows(package: PendingPackage, destination: PackageDestination) -> None:
    for table in dict.fromkeys(job.table for job in package.jobs()):
        jobs = [job for job in package.jobs() if job.table == table and not job.is_followup]
        doubtful = [job for job in jobs if job.doubtful]
        if doubtful:
            _settle_table(package, destination, jobs, doubtful)


def _settle_table(
    package: PendingPackage,
    destination: PackageDestination,
    jobs: list[PackageJob],
    doubtful: list[PackageJob],
) -> None:
    """Remove the rows of one table's doubtful jobs. Rows of marked jobs stay, or are loaded again.

    The load id tells the rows of the package from others. Row ids even tell the rows of one job
    from those of another. A nested table has row ids alone, and frames may have neither.
    """
    table = doubtful[0].table
    row_id, load_id = (destination.column(table, name) for name in ("_dlt_id", "_dlt_load_id"))
    marked = [job for job in jobs if job.marked]
    # a model (a query) gives its rows new ids each time
    told_apart = row_id is not None and all(job.file_format != "model" for job in doubtful)
    if row_id is not None and told_apart and (marked or load_id is None):
        for job in doubtful:
            destination.remove_rows_of(job, row_id, load_id)
    elif load_id is not None or destination.holds_nothing_else(table):
        # first: if this process is killed before the rows are deleted, the jobs must be doubtful
        for job in marked:
            package.put_back(job)
        destination.remove_load(table, load_id)
    else:
        _warn(package, doubtful, "without `_dlt_load_id`")


def _settle_followups(package: PendingPackage, destination: PackageDestination) -> None:
    """Make dlt move staged rows to their table only once: twice may lose or double them."""
    for root, jobs in _chains(package).items():
        followups = [job for job in jobs if job.is_followup]
        if any(job.doubtful for job in followups) and destination.is_swapped(root):
            # dlt may have swapped the tables, and the staging table is empty then
            for job in jobs:
                if job.marked and not job.is_followup:
                    package.put_back(job)
    for job in _stale_followups(package):
        package.discard(job)


def _has_stale_followups(package: PendingPackage) -> bool:
    return bool(_stale_followups(package))


def _stale_followups(package: PendingPackage) -> list[PackageJob]:
    """Return the follow-up jobs that dlt will make anew with the last job of their tables."""
    return [
        followup
        for jobs in _chains(package).values()
        if any(not job.is_followup and job.folder != "completed_jobs" for job in jobs)
        for followup in jobs
        if followup.is_followup and not followup.marked
    ]


def _chains(package: PendingPackage) -> dict[str, list[PackageJob]]:
    """Return the jobs by root table; the jobs of nested tables belong to it."""
    chains: dict[str, list[PackageJob]] = {}
    for job in package.jobs():
        root = job.table
        while parent := package.schema.tables[root].get("parent"):
            root = parent
        chains.setdefault(root, []).append(job)
    return chains


def _warn(package: PendingPackage, jobs: list[PackageJob], where: str) -> None:
    for job in jobs:
        logger.warning(
            "Load package %s: a job of table `%s` was interrupted %s. Its rows may be there twice.",
            package.load_id,
            job.table,
            where,
        )


def drop_working_folder(pipeline: dlt.Pipeline) -> None:
    """Drop the working folder of a pipeline and its pending packages; its settings stay.

    The next `run` restores state and schemas from the destination.
    """
    if pipeline.has_pending_data:
        dlt_logger.warning(
            f"Pipeline {pipeline.pipeline_name} runs from a clean folder: packages that an earlier "
            "run left pending are dropped"
        )
    local_dir, refresh = pipeline.get_local_state_val("initial_cwd"), pipeline.refresh
    pipeline.drop()
    # `drop` forgets both
    pipeline.refresh = refresh
    pipelines.use_local_dir(pipeline, local_dir)


def restore(
    pipeline: dlt.Pipeline, destination: TDestinationReferenceArg, dataset_name: str | None
) -> None:
    """Restore state and schemas if the pipeline's own run is configured not to do so.

    Raises:
        PipelineStepFailed: The destination does not answer (step `sync`).
    """
    if pipeline.config.restore_from_destination or pipeline.dev_mode:
        return
    pipeline.activate()
    pipeline.sync_destination(destination, None, dataset_name)  # type: ignore[arg-type]  # or None
