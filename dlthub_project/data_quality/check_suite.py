"""Looks at the tables of a dataset: one query a table, and one more for what fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlthub_project.data_quality.check_kinds import (
    Check,
    FunctionCheck,
    Scope,
    TableCheck,
    UniqueCheck,
    literal,
    of_user,
    parent_name,
)
from dlthub_project.data_quality.check_results import CheckResult, CheckResults
from dlthub_project.data_quality.stored_results import stored_row_counts
from dlthub_project.data_quality.table_columns import (
    PersonalColumns,
    require_columns,
    tables_of,
)
from dlthub_project.dlt_internals import relations
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import ProjectError, known_names

if TYPE_CHECKING:
    import dlt

_SAMPLES = 10
_LOAD_ID = "_dlt_load_id"
_ROW_ID = "_dlt_id"


class CheckSuite:
    """Checks of a dataset.

    Attributes:
        dataset: The dataset.
        checks: The checks, by table.
    """

    def __init__(
        self,
        dataset: dlt.Dataset,
        checks: Mapping[str, Sequence[Check]],
        load_ids: Sequence[str] | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            dataset: The dataset.
            checks: Checks by table.
            load_ids: The loads that `only_this_load` means; None for the last that is there.

        Raises:
            ProjectError: There is no such table or column, or two checks of a table have one name.
            TypeError: Something is no check.
        """
        self.dataset = dataset
        self.checks = {table: tuple(of_table) for table, of_table in checks.items()}
        self._load_ids = load_ids
        for table, of_table in self.checks.items():
            self._validate(table, of_table)

    def run(self) -> CheckResults:
        """Ask the destination.

        Returns:
            A result for each check.
        """
        results: list[CheckResult] = []
        for table, of_table in self.checks.items():
            results += self._run(table, of_table)
        return CheckResults(results)

    def get_failures(self, table: str, check: str) -> dlt.Relation:
        """Return the rows that fail a check.

        Args:
            table: The table.
            check: The name of the check.

        Raises:
            ProjectError: There is no such check, or it does not blame rows.
        """
        return self._failures(table, self._named(table, check))

    def get_successes(self, table: str, check: str) -> dlt.Relation:
        """Return the rows that a check looks at and that pass; see `get_failures`."""
        found = self._named(table, check)
        scope = self._scope(table, found)
        fails = f"COALESCE({self._failing_row(table, found)}, FALSE)"
        return self._where(table, f"{scope.condition} AND NOT {fails}")

    def prepared(self) -> dlt.Relation:
        """Return the results as a relation; see `prepare_checks`."""
        parts, others = [], {}
        for table, of_table in self.checks.items():
            asked = _asked(of_table)
            if asked:
                name = f"of_{table}"
                others[name] = relations.asked_of(
                    self.dataset[table], self._counts(table, asked), **self._parents(table)
                )
                parts += [
                    f"SELECT {literal(table)} AS table_name, {literal(check.name)} AS check_name, "
                    f"c{2 * number} AS row_count, c{2 * number + 1} AS failing_count "
                    f"FROM {quoted(name)}"
                    for number, check in enumerate(asked)
                ]
        if not parts:
            raise ProjectError(
                "No check of those given can be a query.", "Give some: {table: [check]}."
            )
        query = " UNION ALL ".join(parts)
        return relations.asked_of(
            next(iter(others.values())), f"SELECT * FROM ({query}) AS r", **others
        )

    @cached_property
    def _tables(self) -> Mapping[str, Any]:
        return tables_of(self.dataset)

    @cached_property
    def _is_personal(self) -> PersonalColumns:
        return PersonalColumns(self.dataset)

    def _run(self, table: str, of_table: Sequence[Check]) -> Iterator[CheckResult]:
        found: tuple[Any, ...] = ()
        if asked := _asked(of_table):
            query = self._counts(table, asked)
            (found,) = relations.answer(self.dataset[table], query, **self._parents(table))
        counts = iter(found)
        for check in of_table:
            wrong: dlt.Relation | None = None
            if isinstance(check, FunctionCheck):
                scoped = self._scoped(table, check)
                wrong = check.function(scoped)
                total, failing = _count(scoped), _count(wrong)
            else:
                total, failing = int(next(counts) or 0), int(next(counts) or 0)
                if failing and not isinstance(check, TableCheck):
                    wrong = self._failures(table, check)
            samples, keys = (
                self._samples(table, check, wrong) if failing and wrong is not None else ((), ())
            )
            yield CheckResult(
                table,
                check.name,
                total,
                failing,
                check.severity,
                _passes(check, total, failing),
                samples,
                keys,
                self._unchecked(table, check, total),
            )

    def _counts(self, table: str, asked: Sequence[Check]) -> str:
        parts: list[str] = []
        for check in asked:
            scope = self._scope(table, check)
            parts += [f"COUNT(CASE WHEN {scope.condition} THEN 1 END)", check.failing(scope)]
        columns = ", ".join(f"{part} AS c{number}" for number, part in enumerate(parts))
        return f"SELECT {columns} FROM checked"

    def _failures(self, table: str, check: Check) -> dlt.Relation:
        if isinstance(check, FunctionCheck):
            return check.function(self._scoped(table, check))
        return self._where(table, self._failing_row(table, check))

    def _samples(
        self, table: str, check: Check, relation: dlt.Relation
    ) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        """Return up to ten rows, and their keys."""
        of_table = self._tables[table]["columns"]
        # a function may compute its rows from any column
        computed: set[str] = set()
        if isinstance(check, FunctionCheck) and self._is_personal.any_there:
            columns = relations.columns_of_result(relation)
            computed = {name for name, sql in columns if not _is_column(name, sql)}
        shown = [
            name
            for name in relation.columns
            if name not in computed and not self._is_personal(table, name)
        ]
        primary = [name for name in of_table if of_table[name].get("primary_key")]
        own = primary or (list(check.columns) if isinstance(check, UniqueCheck) else [])
        keys = [name for name in own if name in shown]
        if keys != own or not own:
            keys = [name for name in (*keys, _ROW_ID) if name in shown]
        names = [name for name in shown if not name.startswith("_dlt_")]
        # of a wide table, the columns that identify a row and those that are wrong
        if any(name in names for name in primary):
            names = [name for name in names if name in (*primary, *check.columns)]
        asked = list(dict.fromkeys((*names, *keys)))
        if not asked:
            return (), ()
        selected = ", ".join(map(quoted, asked))
        found = relations.answer(relation, f"SELECT {selected} FROM checked LIMIT {_SAMPLES}")
        rows = [dict(zip(asked, row, strict=True)) for row in found]
        return [_of(row, names) for row in rows if names], [_of(row, keys) for row in rows if keys]

    def _where(self, table: str, condition: str) -> dlt.Relation:
        relation = self.dataset[table]
        names = ", ".join(f"checked.{quoted(name)}" for name in relation.columns)
        query = f"SELECT {names} FROM checked WHERE {condition}"
        return relations.asked_of(relation, query, **self._parents(table))

    def _scoped(self, table: str, check: Check) -> dlt.Relation:
        scope = self._scope(table, check)
        if scope.condition == "TRUE":
            return self.dataset[table]
        return self._where(table, scope.condition)

    def _failing_row(self, table: str, check: Check) -> str:
        condition = check.failing_row(self._scope(table, check))
        if condition is None:
            raise ProjectError(
                f"{table}: {check.name} is about the table, and blames no rows.",
                "Look at its result: CheckSuite.run().of(table, check).",
            )
        return condition

    def _scope(self, table: str, check: Check) -> Scope:
        dialect = self.dataset[table].query_dialect
        conditions = []
        if check.where is not None:
            conditions.append(of_user(check.where, dialect))
        if check.only_this_load:
            loads = ", ".join(map(literal, self._loads(table))) or "NULL"
            conditions.append(f"{quoted(_LOAD_ID)} IN ({loads})")
        earlier = self._earlier_counts.get((table, check.name)) if check.compares_loads else None
        return Scope(" AND ".join(conditions) or "TRUE", dialect, earlier)

    def _loads(self, table: str) -> Sequence[str]:
        if self._load_ids is not None:
            return self._load_ids
        last = self._last_load(table)
        return [] if last is None else [last]

    def _last_load(self, table: str, before: str | None = None) -> str | None:
        """Return the last load, before a given one if any, of the schema that has a table."""
        schemas = [one.name for one in self.dataset.schemas if table in one.tables]
        conditions = [
            f"{quoted('status')} = 0",
            f"{quoted('schema_name')} IN ({', '.join(map(literal, schemas))})",
        ]
        if before is not None:
            conditions.append(f"{quoted('load_id')} < {literal(before)}")
        query = f"SELECT MAX({quoted('load_id')}) FROM checked WHERE {' AND '.join(conditions)}"
        ((last,),) = relations.answer(self.dataset["_dlt_loads"], query)
        return last  # type: ignore[no-any-return]  # a text, or None

    @cached_property
    def _earlier_counts(self) -> Mapping[tuple[str, str], int]:
        """The stored row counts of earlier loads, by table and name of the check."""
        before = {
            (table, check.name): min(loads)
            for table, of_table in self.checks.items()
            for check in of_table
            if check.compares_loads and (loads := self._loads(table))
        }
        return stored_row_counts(self.dataset, before) if before else {}

    def _unchecked(self, table: str, check: Check, total: int) -> str:
        """Return why a check has looked at nothing; an empty text if it has."""
        if not total:
            return "no rows"
        if not check.compares_loads or (table, check.name) in self._earlier_counts:
            return ""
        loads = self._loads(table)
        is_first = not loads or self._last_load(table, before=min(loads)) is None
        return "" if is_first else "no row count of an earlier load is stored"

    def _parents(self, table: str) -> dict[str, dlt.Relation]:
        parents = [check.parent for check in self.checks[table] if check.parent]
        return {parent_name(name): self.dataset[name] for name, _ in parents}

    def _named(self, table: str, check: str) -> Check:
        of_table = self.checks.get(table, ())
        for one in of_table:
            if one.name == check:
                return one
        known = known_names(check, [one.name for one in of_table])
        raise ProjectError(f"{table}: there is no check `{check}`. {known}", "Name one of these.")

    def _validate(self, table: str, of_table: Sequence[Check]) -> None:
        for check in of_table:
            if not isinstance(check, Check):
                raise TypeError(f"{table}: {check!r} is no check; make one by dq.checks")
            self._validate_columns(table, check.columns, check)
            if check.only_this_load:
                self._validate_columns(table, [_LOAD_ID], check)
            if check.parent:
                self._validate_columns(check.parent[0], [check.parent[1]], check)
        names = [check.name for check in of_table]
        for name in names:
            if names.count(name) > 1:
                raise ProjectError(
                    f"{table}: two checks are called `{name}`.",
                    "Give one of them another name: name='...'.",
                )

    def _validate_columns(self, table: str, columns: Sequence[str], check: Check) -> None:
        require_columns(self._tables, table, columns, f"Check `{check.name}`")


def prepare_checks(dataset: dlt.Dataset, checks: Mapping[str, Sequence[Check]]) -> dlt.Relation:
    """Return the results of checks as a relation that nobody has asked for yet.

    Args:
        dataset: The dataset.
        checks: Checks by table; checks by functions are left out.

    Returns:
        A relation with a row for each check: `table_name`, `check_name`, `row_count`,
        `failing_count`.

    Raises:
        ProjectError: See `CheckSuite`; or there is no check.
    """
    return CheckSuite(dataset, checks).prepared()


def _asked(of_table: Sequence[Check]) -> list[Check]:
    """Return the checks that one query looks at."""
    return [check for check in of_table if not isinstance(check, FunctionCheck)]


def _is_column(name: str, sql: str) -> bool:
    """Tell whether an expression of a query is the column of that name, whatever its table."""
    return sql.replace('"', "").replace("`", "").rpartition(".")[2] == name


def _of(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _count(relation: dlt.Relation) -> int:
    ((count,),) = relations.answer(relation, "SELECT COUNT(*) FROM checked")
    return int(count)


def _passes(check: Check, total: int, failing: int) -> bool:
    if check.at_least == 1 or isinstance(check, TableCheck) or not total:
        return not failing
    return (total - failing) / total >= check.at_least
