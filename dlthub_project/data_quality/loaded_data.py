"""Looks at what a load has brought, and goes on where a check cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dlthub_project.data_quality.attached_checks import attached_checks
from dlthub_project.data_quality.check_kinds import Check
from dlthub_project.data_quality.check_results import CheckResult, CheckResults
from dlthub_project.data_quality.check_suite import CheckSuite
from dlthub_project.data_quality.stored_results import loads_of_tables
from dlthub_project.data_quality.table_columns import PersonalColumns
from dlthub_project.dlt_internals import datasets
from dlthub_project.errors import ProjectError
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dlt
    from dlt.common.pipeline import LoadInfo


def check_load(
    pipeline: dlt.Pipeline,
    load_info: LoadInfo | None,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> CheckResults:
    """Look at the tables that a pipeline has loaded.

    A check that cannot be asked is a result with an `error`, and the others go on; so is one of a
    table that lacks rows since its jobs have failed.

    Args:
        pipeline: The pipeline.
        load_info: What it returned; nothing is looked at if it has loaded nothing.
        checks: Checks by table, beside those that resources bring with them.

    Returns:
        A result for each check.
    """
    loads = loads_of_tables(pipeline, load_info)
    if load_info is None or not loads:
        return CheckResults([])
    dataset = loaded_dataset(pipeline)
    loaded = {package.schema_name for package in load_info.load_packages}
    found: dict[str, list[Check]] = attached_checks(
        *(schema for schema in dataset.schemas if schema.name in loaded)
    )
    for table, of_table in (checks or {}).items():
        there = found.setdefault(table, [])
        # the same one may be declared and come with the resource
        there += [check for check in of_table if check not in there]
    failed = failed_tables(load_info)
    results: list[CheckResult] = []
    with dataset:
        for table, of_table in found.items():
            if table in failed:
                why = "jobs of this load have failed, so that rows are missing"
                results += [_broken(table, check, why) for check in of_table]
            else:
                results += _results(dataset, table, of_table, load_info.loads_ids)
    return CheckResults(results)


def loaded_dataset(pipeline: dlt.Pipeline) -> dlt.Dataset:
    """Return the dataset of a pipeline with all its schemas."""
    dataset = pipeline.dataset()
    names = [pipeline.default_schema_name, *pipeline.schema_names]
    schemas = [pipeline.schemas[name] for name in dict.fromkeys(names) if name]
    if len(schemas) > len(dataset.schemas):
        datasets.replace_schemas(dataset, schemas)
    return dataset


def failed_tables(load_info: LoadInfo) -> set[str]:
    """Return the tables of which jobs of a load have failed."""
    return {
        job.job_file_info.table_name
        for package in load_info.load_packages
        for job in package.jobs["failed_jobs"]
    }


def told(error: Exception, dataset: dlt.Dataset, table: str) -> str:
    """Return what may be told of an error, in one line.

    A destination repeats the values that it cannot cast: of a table with columns that are marked as
    personal, only the kind of the error is told.
    """
    if isinstance(error, ProjectError):
        return error.reason
    kind = type(error).__name__
    if PersonalColumns(dataset).any_of(table):
        return f"{kind}; what it says may be personal, and is not kept"
    lines = str(error).strip().splitlines()
    return KNOWN.masked(f"{kind}: {lines[0]}" if lines else kind)


def _results(
    dataset: dlt.Dataset, table: str, checks: Sequence[Check], load_ids: Sequence[str]
) -> Iterator[CheckResult]:
    try:
        yield from CheckSuite(dataset, {table: checks}, load_ids).run()
        return
    except Exception as error:
        if len(checks) == 1:
            yield _broken(table, checks[0], told(error, dataset, table))
            return
    # one of them spoils the query of all
    for check in checks:
        yield from _results(dataset, table, [check], load_ids)


def _broken(table: str, check: Check, error: str) -> CheckResult:
    return CheckResult(table, check.name, 0, 0, check.severity, False, error=error)
