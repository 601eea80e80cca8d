"""Looks at what a load has brought, and goes on if the destination cannot answer a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from dlthub_project.data_quality.attachments import extracted_checks
from dlthub_project.data_quality.check_kinds import Check, FreshnessCheck, RowCountCheck
from dlthub_project.data_quality.check_results import CheckResult, CheckResults
from dlthub_project.data_quality.check_suite import CheckSuite
from dlthub_project.data_quality.dataset_checks import add_missing, checks_of, metrics_of
from dlthub_project.data_quality.metric_kinds import Metric, MetricResult
from dlthub_project.data_quality.metric_queries import measured
from dlthub_project.data_quality.stored_results import loads_of_tables
from dlthub_project.data_quality.table_columns import PersonalColumns, tables_of
from dlthub_project.dlt_internals import datasets, pipelines
from dlthub_project.errors import ProjectError
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo

_T = TypeVar("_T")
_R = TypeVar("_R")
_Table = TypeVar("_Table", bound="str | None")


def check_load(
    pipeline: dlt.Pipeline,
    load_info: LoadInfo | None,
    checks: Mapping[str, Sequence[Check]] | None = None,
    *,
    is_whole: bool = False,
) -> CheckResults:
    """Look at the tables that a pipeline has loaded.

    If the destination cannot answer a check, or the table lacks rows because its jobs have failed,
    the result has an `error`, and the other checks go on.

    Args:
        pipeline: The pipeline.
        load_info: What it returned; nothing is looked at if it has loaded nothing.
        checks: Checks by table, beside those that resources bring with them, and `dlt.yml` has.
        is_whole: Whether all of the dataset has been loaded: a table of `dlt.yml` must be there.

    Returns:
        A result for each check.
    """
    loads = loads_of_tables(pipeline, load_info)
    if load_info is None or not loads:
        return CheckResults([])
    dataset, found = _asked_of(checks_of, pipeline, load_info, checks or {}, is_whole)
    results = check_dataset(dataset, found, load_info)
    return CheckResults([*results, *without_rows(dataset, pipeline.last_trace, load_info)])


def without_rows(dataset: dlt.Dataset, trace: Any, load_info: LoadInfo | None) -> list[CheckResult]:
    """Return results for resources that have run and have never yielded a row.

    The schema has no table of such a resource, and so lacks its checks: a minimum of rows would not
    fail.

    Args:
        dataset: The dataset with all its schemas.
        trace: The trace of the run.
        load_info: What the run returned.
    """
    with_tables = {t.get("resource") for schema in dataset.schemas for t in schema.tables.values()}
    naming = dataset.schema.naming
    load_ids = load_info.loads_ids if load_info is not None else []
    return [
        _of_no_rows(naming.normalize_table_identifier(resource), check)
        for resource, checks in extracted_checks(trace, load_ids).items()
        if resource not in with_tables
        for check in checks
    ]


def check_dataset(
    dataset: dlt.Dataset, checks: Mapping[str, Sequence[Check]], load_info: LoadInfo | None
) -> CheckResults:
    """Look at tables of a dataset; where the destination cannot answer, the result has an `error`.

    Args:
        dataset: The dataset.
        checks: Checks by table.
        load_info: What a run has returned: `only_this_load` means its loads; None for no loads.

    Returns:
        A result for each check.
    """
    load_ids = load_info.loads_ids if load_info is not None else []
    results: list[CheckResult] = []
    with ExitStack() as stack:
        why_not = ""
        try:
            stack.enter_context(dataset)  # type: ignore[arg-type]  # dlt types its exit otherwise
        except Exception as error:
            # the dataset cannot be opened, or has no tables to ask
            why_not = _Why(dataset, None, load_info).line_of(error)
        for table, of_table in checks.items():

            def ask(checks: Sequence[Check], table: str = table) -> Sequence[CheckResult]:
                return CheckSuite(dataset, {table: checks}, load_ids).run()

            def broken(check: Check, why: str, table: str = table) -> CheckResult:
                return CheckResult(table, check.name, 0, 0, check.severity, False, error=why)

            if why_not:
                results += [broken(check, why_not) for check in of_table]
            elif _was_never_loaded(dataset, table):
                results += [_of_no_rows(table, check) for check in of_table]
            else:
                results += _answers(of_table, ask, broken, _Why(dataset, table, load_info))
    return CheckResults(results)


def _was_never_loaded(dataset: dlt.Dataset, table: str) -> bool:
    """Tell whether the destination lacks a table of a schema, because no row of it ever came."""
    having = [schema for schema in dataset.schemas if table in schema.tables]
    seen = (one["name"] for schema in having for one in schema.data_tables(seen_data_only=True))
    return bool(having) and table not in seen


def _of_no_rows(table: str, check: Check) -> CheckResult:
    fails = isinstance(check, FreshnessCheck) or (isinstance(check, RowCountCheck) and check.low)
    return CheckResult(
        table, check.name, 0, int(bool(fails)), check.severity, not fails, unchecked="no rows"
    )


def measure_load(
    pipeline: dlt.Pipeline,
    load_info: LoadInfo | None,
    metrics: Mapping[str | None, Sequence[Metric]] | None = None,
    *,
    is_whole: bool = False,
) -> list[MetricResult]:
    """Measure the tables that a pipeline has loaded; see `check_load`.

    Args:
        pipeline: The pipeline.
        load_info: What it returned; nothing is measured if it has loaded nothing.
        metrics: Metrics by table, beside those that resources and sources bring with them; those of
            the dataset by None.
        is_whole: See `check_load`.

    Returns:
        A result for each metric.
    """
    loads = loads_of_tables(pipeline, load_info)
    if load_info is None or not loads:
        return []
    dataset, found = _asked_of(metrics_of, pipeline, load_info, metrics or {}, is_whole)
    results: list[MetricResult] = []
    with dataset:
        for table, of_table in found.items():

            def ask(metrics: Sequence[Metric], table: str | None = table) -> Sequence[MetricResult]:
                return measured(dataset, table, metrics, load_info.loads_ids)

            def broken(metric: Metric, why: str, table: str | None = table) -> MetricResult:
                return MetricResult(table, metric.column, metric.name, None, why)

            results += _answers(of_table, ask, broken, _Why(dataset, table, load_info))
    return results


def _asked_of(
    declared: Callable[..., dict[_Table, list[_T]]],
    pipeline: dlt.Pipeline,
    load_info: LoadInfo,
    more: Mapping[_Table, Sequence[_T]],
    is_whole: bool,
) -> tuple[dlt.Dataset, dict[_Table, list[_T]]]:
    """Return the dataset, and the declared and given checks or metrics of its tables."""
    dataset = loaded_dataset(pipeline)
    loaded = {package.schema_name for package in load_info.load_packages}
    name = pipelines.requested_dataset_name(pipeline)
    found = declared(dataset, loaded, name=name, is_whole=is_whole)
    for table, of_table in more.items():
        add_missing(found.setdefault(table, []), of_table)
    return dataset, found


def _answers(
    asked: Sequence[_T],
    ask: Callable[[Sequence[_T]], Sequence[_R]],
    broken: Callable[[_T, str], _R],
    why: _Why,
) -> Iterator[_R]:
    """Ask for all at once; if that fails, one by one: a wrong one spoils the query of all."""
    if why.jobs:
        yield from (broken(one, why.jobs) for one in asked)
        return
    try:
        answers = ask(asked)
    except Exception as error:
        if len(asked) == 1:
            yield broken(asked[0], why.line_of(error))
            return
    else:
        yield from answers
        return
    for one in asked:
        yield from _answers([one], ask, broken, why)


class _Why:
    """Why nothing can be told about a table, or about all tables."""

    def __init__(self, dataset: dlt.Dataset, table: str | None, load_info: LoadInfo | None) -> None:
        self._dataset = dataset
        self._tables = tables_of(dataset) if table is None else [table]
        failed = {
            job.job_file_info.table_name
            for package in (load_info.load_packages if load_info is not None else ())
            for job in package.jobs["failed_jobs"]
        }
        self.jobs = (
            "jobs of this load have failed, so that rows are missing"
            if failed.intersection(self._tables)
            else ""
        )

    def line_of(self, error: Exception) -> str:
        """Return an error as one line that may be shown.

        A destination repeats the values that it cannot cast. If columns of the table are marked as
        personal, the line has only the kind of the error.
        """
        if isinstance(error, ProjectError):
            return error.reason
        kind = type(error).__name__
        is_personal = PersonalColumns(self._dataset)
        if any(is_personal.any_of(table) for table in self._tables):
            return f"{kind}; what it says may be personal, and is not kept"
        lines = str(error).strip().splitlines()
        return KNOWN.masked(f"{kind}: {lines[0]}" if lines else kind)


def loaded_dataset(pipeline: dlt.Pipeline) -> dlt.Dataset:
    """Return the dataset of a pipeline with all its schemas."""
    dataset = pipeline.dataset()
    names = [pipeline.default_schema_name, *pipeline.schema_names]
    schemas = [pipeline.schemas[name] for name in dict.fromkeys(names) if name]
    if len(schemas) > len(dataset.schemas):
        datasets.replace_schemas(dataset, schemas)
    return dataset
