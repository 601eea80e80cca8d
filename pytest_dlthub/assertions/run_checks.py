"""Assertions about runs: one error names everything that is wrong, with samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dlt.common.schema.exceptions import DataValidationError

from dlthub_project.dlt_internals import pipelines, relations
from dlthub_project.dlt_internals.failures import failed_jobs
from dlthub_project.errors import causes
from pytest_dlthub.assertions.differences import (
    RowDifferences,
    listing,
    rows_counted,
    shortened,
)
from pytest_dlthub.assertions.matching import frozen
from pytest_dlthub.assertions.records import without_dlt_columns
from pytest_dlthub.assertions.relation_checks import (
    fail,
    fail_if,
    rows_where,
    shown,
    unknown_column,
)
from pytest_dlthub.data_coverage import reads

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo

_LOAD = "_dlt_load_id"
_OF_ARROW = (
    "; frames and Arrow data have it with normalize.parquet_normalizer.add_dlt_load_id = true"
)


class FinishedRun(Protocol):
    """What assertions need of a run; `PipelineRun` has it."""

    @property
    def load_info(self) -> LoadInfo | None:
        """What dlt returned."""

    @property
    def pipeline(self) -> dlt.Pipeline:
        """The pipeline."""

    @property
    def dataset(self) -> dlt.Dataset:
        """The dataset that it loads."""

    @property
    def row_counts(self) -> Mapping[str, int]:
        """Its rows by table."""

    @property
    def tables(self) -> list[str]:
        """The data tables in the dataset."""

    def rows(self, table: str) -> Any:
        """Return the rows of a table."""

    def next(self) -> Any:
        """Run once more."""


def assert_no_failed_jobs(run: FinishedRun | LoadInfo) -> None:
    """Assert that no job of a run has failed.

    Args:
        run: The run, or its load info.

    Raises:
        AssertionError: Jobs have failed; the message has the table of each, and its error.
        TypeError: `run` is neither.
    """
    __tracebackhide__ = True
    info: Any = getattr(run, "load_info", run)
    if info is run and not hasattr(run, "load_packages"):
        raise TypeError(f"assert_no_failed_jobs: {type(run).__name__} is no run and no load info")
    found = failed_jobs(info) if info is not None else []
    lines = [line for failure in found for line in failure.lines]
    fail_if(lines)


@reads.unseen
def assert_idempotent(run: FinishedRun) -> None:
    """Assert that a second run with the same data changes nothing but dlt's own columns.

    Args:
        run: A run. This calls its `next()`.

    Raises:
        AssertionError: Rows, columns or tables differ afterwards. Or there are no rows, or a
            resource without state yields none the second time, which proves nothing.
    """
    __tracebackhide__ = True
    before = {table: run.rows(table) for table in run.tables}
    if not any(before.values()):
        fail(["there are no rows, so that nothing is checked"])
    again = run.next()
    lines = [f"{table}: table missing" for table in before if table not in again.tables]
    for table in again.tables:
        if table not in before:
            lines.append(f"{table}: table too many")
            continue
        earlier = before[table]
        known = getattr(earlier, "key", None)
        lines += RowDifferences(again.rows(table), earlier, table=table, key=known).lines
    stateful = pipelines.resources_with_state(run.pipeline)
    for name, table in run.pipeline.default_schema.tables.items():
        is_gone = name in run.row_counts and name not in again.row_counts
        if is_gone and not table.get("parent") and table.get("resource") not in stateful:
            lines.append(f"{name}: no rows in the second run, and no state that explains it")
    fail_if(lines, "a second run changes the result")


@reads.unseen
def assert_incremental(first: FinishedRun, second: FinishedRun) -> None:
    """Assert that the second run has extracted only rows that are new since the first.

    This works for cursors that grow, if the rows have a `_dlt_load_id`. With `lag` a run extracts
    rows again on purpose, and this fails.

    Args:
        first: A run of a resource with `dlt.sources.incremental`.
        second: The next run of the same pipeline.

    Raises:
        AssertionError: The second run has no rows, has rows of the first again, or has rows whose
            cursor is below the last value of the first.
    """
    __tracebackhide__ = True
    loads = [run.load_info.loads_ids if run.load_info else [] for run in (first, second)]
    left = pipelines.cursors_after(first.pipeline, loads[0]) if loads[0] else []
    cursors = [found for found in left if found[0] in second.tables]
    lines: list[str] = []
    count = 0
    for table, cursor, last in cursors:
        relation = second.dataset.table(table)
        if lacking := [name for name in (cursor, _LOAD) if name not in relation.columns]:
            words = unknown_column(lacking[0], relation.columns)
            hint = _OF_ARROW if lacking[0] == _LOAD else ""
            lines.append(f"{table}: {words}, so that nothing is checked{hint}")
            continue
        of_first, of_second = (
            [without_dlt_columns(row) for row in rows_where(relation, f'"{_LOAD}" IN ({listed})')]
            for listed in (", ".join(f"'{load}'" for load in ids) or "NULL" for ids in loads)
        )
        count += len(of_second)
        known = Counter(map(frozen, of_first))
        again = [row for row in of_second if known[frozen(row)]]
        bound = pipelines.as_stored_value(last, relation.columns_schema[cursor])
        before = [row for row in of_second if row[cursor] is not None and row[cursor] < bound]
        for words, rows in (
            ("of the first run extracted again", again),
            (f"before the first run's last {cursor}={shortened(bound)}", before),
        ):
            if rows:
                lines += [f"{table}: {rows_counted(len(rows))} {words}", *shown(rows)]
    if not cursors:
        lines.append("the first run has left no cursor of dlt.sources.incremental")
    elif not lines and not count:
        names = listing((table for table, *_ in cursors), len(cursors))
        lines.append(f"{names}: no rows in the second run, so that nothing is checked")
    fail_if(lines)
    for table, cursor, _ in cursors:
        reads.Origin(second.dataset.dataset_name, table).look([cursor])


@dataclass
class ContractViolation:
    """What violates a schema contract. `raises_contract_violation` fills it after its block."""

    table: str | None = None
    column: str | None = None
    entity: str | None = None
    item: Any = None
    error: BaseException | None = None


@contextmanager
def raises_contract_violation(
    table: str | None = None, column: str | None = None, entity: str | None = None
) -> Iterator[ContractViolation]:
    """Assert that a run in the block violates a schema contract that is `freeze`.

    It drops the package that the run leaves pending, which would make the next run fail.

    Args:
        table: The table of the violation; None for any.
        column: The column; in a pydantic model, the name of the field.
        entity: `tables`, `columns` or `data_type`.

    Yields:
        The violation, after the block.

    Raises:
        AssertionError: The run violates no contract, or another one.
    """
    __tracebackhide__ = True
    expected = {"table": table, "column": column, "entity": entity}
    wanted = {name: value for name, value in expected.items() if value is not None}
    violation = ContractViolation()
    try:
        yield violation
    except Exception as error:
        links = list(causes(error))
        breach: Any = next((e for e in links if isinstance(e, DataValidationError)), None)
        if breach is None:
            raise
        pipeline: Any = next((p for e in links if (p := getattr(e, "pipeline", None))), None)
        if pipeline is not None:
            pipelines.drop_pending(pipeline)
        violation.table, violation.entity = breach.table_name, breach.schema_entity
        violation.column = relations.column_of_breach(breach)
        item = breach.data_item
        violation.item = without_dlt_columns(item) if isinstance(item, dict) else item
        violation.error = breach
        lines = [
            f"{name} {getattr(violation, name)} != {value}"
            for name, value in wanted.items()
            if getattr(violation, name) != value
        ]
        if lines:
            raise AssertionError("\n".join(["another contract is violated", *lines])) from error
        return
    listed = ", ".join(f"{name} {value}" for name, value in wanted.items())
    fail([f"no contract is violated{f': {listed}' if listed else ''}"])
