"""Looks at what a pipeline has loaded: all checks that its resources bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dlthub_project.data_quality.attached_checks import attached_checks
from dlthub_project.data_quality.check_kinds import Check, FreshnessCheck, RowCountCheck
from dlthub_project.data_quality.check_suite import CheckResult, CheckResults, CheckSuite
from dlthub_project.errors import ProjectError
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo


def checks_of(dataset: dlt.Dataset) -> dict[str, list[Check]]:
    """Return the checks of a dataset by table, those of all its schemas, each once."""
    found: dict[str, list[Check]] = {}
    for schema in dataset.schemas:
        for table, checks in attached_checks(schema).items():
            known = found.setdefault(table, [])
            known += [check for check in checks if check not in known]
    return found


def check_run(pipeline: dlt.Pipeline, info: LoadInfo | None) -> CheckResults:
    """Look at what a run has loaded; a check that cannot be looked at is among the results.

    Args:
        pipeline: The pipeline.
        info: What its run returned.
    """
    if not pipeline.schema_names or pipeline.destination is None:
        return CheckResults([])
    load_ids = list(info.loads_ids) if info is not None else []
    return check_loaded(pipeline.dataset(), load_ids)


def check_loaded(
    dataset: dlt.Dataset,
    load_ids: Sequence[str] | None = None,
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> CheckResults:
    """Look at a dataset; a check that cannot be looked at is among the results.

    Args:
        dataset: The dataset.
        load_ids: The loads that `only_this_load` means; None for the last that is there.
        checks: Checks by table; None for those of `checks_of`.
    """
    asked = checks_of(dataset) if checks is None else checks
    if not asked:
        return CheckResults([])
    loaded = {
        table["name"]
        for schema in dataset.schemas
        for table in schema.data_tables(seen_data_only=True)
    }
    results: list[CheckResult] = []
    for table, of_table in asked.items():
        if table in loaded:
            results += _looked_at(dataset, table, of_table, load_ids)
        else:
            results += [_of_no_rows(table, check) for check in of_table]
    return CheckResults(results)


def _looked_at(
    dataset: dlt.Dataset,
    table: str,
    checks: Sequence[Check],
    load_ids: Sequence[str] | None,
) -> Iterator[CheckResult]:
    try:
        yield from CheckSuite(dataset, {table: checks}, load_ids).run()
    except Exception as error:
        if len(checks) > 1 and not _one_name_twice(checks):
            # one by one: the others can be looked at
            for check in checks:
                yield from _looked_at(dataset, table, [check], load_ids)
            return
        reason = error.reason if isinstance(error, ProjectError) else str(error)
        first = next(iter(reason.strip().splitlines()), "") or type(error).__name__
        for check in checks:
            problem = KNOWN.masked(first)
            yield CheckResult(table, check.name, 0, 0, check.severity, False, problem=problem)


def _one_name_twice(checks: Sequence[Check]) -> bool:
    return len({check.name for check in checks}) < len(checks)


def _of_no_rows(table: str, check: Check) -> CheckResult:
    """Return the result for a table that nothing was ever loaded into: it is not there yet."""
    fails = isinstance(check, FreshnessCheck) or (isinstance(check, RowCountCheck) and check.low)
    return CheckResult(table, check.name, 0, int(bool(fails)), check.severity, not fails)
