"""Looks at what a load has brought, and goes on where a check cannot be asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from dlthub_project.data_quality.check_kinds import Check, FreshnessCheck, RowCountCheck
from dlthub_project.data_quality.check_results import CheckResult, CheckResults
from dlthub_project.data_quality.check_suite import CheckSuite
from dlthub_project.data_quality.dataset_checks import checks_of
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
    found = checks_of(dataset, loaded)
    for table, of_table in (checks or {}).items():
        there = found.setdefault(table, [])
        # the same one may be declared and come with the resource
        there += [check for check in of_table if check not in there]
    return check_dataset(dataset, found, load_info.loads_ids, failed_tables(load_info))


def check_dataset(
    dataset: dlt.Dataset,
    checks: Mapping[str, Sequence[Check]],
    load_ids: Sequence[str],
    failed: Collection[str] = (),
) -> CheckResults:
    """Look at tables of a dataset; a check that cannot be asked is a result with an `error`.

    Args:
        dataset: The dataset.
        checks: Checks by table.
        load_ids: The loads that `only_this_load` means.
        failed: Tables that lack rows, since jobs have failed.

    Returns:
        A result for each check.
    """
    results: list[CheckResult] = []
    there = {
        table["name"]
        for schema in dataset.schemas
        for table in schema.data_tables(seen_data_only=True)
    }
    with dataset:
        for table, of_table in checks.items():
            if table in failed:
                why = "jobs of this load have failed, so that rows are missing"
                results += [_broken(table, check, why) for check in of_table]
            elif any(table in schema.tables for schema in dataset.schemas) and table not in there:
                # nothing was ever loaded into it, and the destination has no such table
                results += [_of_no_rows(table, check) for check in of_table]
            else:
                results += _results(dataset, table, of_table, load_ids)
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


def _of_no_rows(table: str, check: Check) -> CheckResult:
    fails = isinstance(check, FreshnessCheck) or (isinstance(check, RowCountCheck) and check.low)
    return CheckResult(
        table, check.name, 0, int(bool(fails)), check.severity, not fails, unchecked="no rows"
    )
