"""Looks at the tables of a dataset: one query a table, and one more for what fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlthub_project.data_quality.check_kinds import (
    Check,
    FunctionCheck,
    Scope,
    Severity,
    TableCheck,
    literal,
    of_user,
    parent_name,
)
from dlthub_project.dlt_internals import relations
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import ProjectError, known_names

if TYPE_CHECKING:
    import dlt

_SAMPLES = 10
_LOAD_ID = "_dlt_load_id"
# dlt's own words for columns with personal data, and the plain one
_PERSONAL = ("x-annotation-pii", "x-pii", "x-personal")


@dataclass(frozen=True)
class CheckResult:
    """What a check has found.

    Attributes:
        table: The table.
        check: The name of the check.
        rows: The rows that were looked at.
        failing: Those of them that fail; of `row_count` and `freshness`, 1 if the table does.
        severity: `error` or `warn`.
        passed: Whether as many rows pass as the check asks for.
        samples: Up to ten rows that fail, without dlt's columns, and without those that are marked
            as personal.
        problem: Why the destination could not be asked; such a check has not passed.
    """

    table: str
    check: str
    rows: int
    failing: int
    severity: Severity
    passed: bool
    samples: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.table}: {self.check} cannot be looked at: {self.problem}"
        if self.passed:
            return f"{self.table}: {self.check} holds for {self.rows} rows"
        noun = "row fails" if self.failing == 1 else "rows fail"
        return f"{self.table}: {self.check}: {self.failing} of {self.rows} {noun}"


class CheckResults(Sequence[CheckResult]):
    """What the checks of a dataset have found, in the order of the checks."""

    def __init__(self, results: Sequence[CheckResult]) -> None:
        self._results = tuple(results)

    def __getitem__(self, index: Any) -> Any:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def of(self, table: str, check: str) -> CheckResult:
        """Return the result of a check.

        Raises:
            KeyError: There was no such check.
        """
        for result in self._results:
            if (result.table, result.check) == (table, check):
                return result
        raise KeyError(f"{table}: {check}; there are {[f'{r.table}: {r.check}' for r in self]}")

    @property
    def failed(self) -> CheckResults:
        """Those that did not pass."""
        return CheckResults([result for result in self._results if not result.passed])

    @property
    def is_ok(self) -> bool:
        """Whether none of severity `error` failed."""
        return not any(result.severity == "error" for result in self.failed)

    def __repr__(self) -> str:
        return f"<CheckResults {len(self)} checks, {len(self.failed)} failed>"


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
        self._columns = columns_of(dataset)
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
        """Return the rows that a check looks at, and that do not fail; see `get_failures`."""
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
            raise ProjectError("No check is given that is a query.", "Give some: {table: [check]}.")
        query = " UNION ALL ".join(parts)
        return relations.asked_of(
            next(iter(others.values())), f"SELECT * FROM ({query}) AS r", **others
        )

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
            yield CheckResult(
                table,
                check.name,
                total,
                failing,
                check.severity,
                _passes(check, total, failing),
                self._samples(table, check, wrong) if failing and wrong is not None else (),
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
    ) -> Sequence[Mapping[str, Any]]:
        of_table = self._columns[table]
        names = [
            name
            for name in relation.columns
            if not name.startswith("_dlt_")
            and not any(of_table.get(name, {}).get(mark) for mark in _PERSONAL)
        ]
        keys = [name for name in names if of_table.get(name, {}).get("primary_key")]
        # of a wide table, what tells a row from others and what is wrong with it
        names = [name for name in names if name in (*keys, *check.columns)] if keys else names
        if not names:
            return ()
        selected = ", ".join(map(quoted, names))
        found = relations.answer(relation, f"SELECT {selected} FROM checked LIMIT {_SAMPLES}")
        return [dict(zip(names, row, strict=True)) for row in found]

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
            loads = ", ".join(map(literal, self._loads())) or "NULL"
            conditions.append(f"{quoted(_LOAD_ID)} IN ({loads})")
        return Scope(" AND ".join(conditions) or "TRUE", dialect)

    def _loads(self) -> Sequence[str]:
        if self._load_ids is None:
            loads = self.dataset["_dlt_loads"]
            latest = f"SELECT MAX({quoted('load_id')}) FROM checked WHERE {quoted('status')} = 0"
            ((last,),) = relations.answer(loads, latest)
            self._load_ids = [] if last is None else [last]
        return self._load_ids

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
        if table not in self._columns:
            tables = [name for name in self._columns if not name.startswith("_dlt_")]
            known = known_names(table, tables)
            raise ProjectError(
                f"Check `{check.name}`: the dataset has no table `{table}`. {known}",
                "Name a table as it is called in the schema.",
            )
        there = self._columns[table]
        for column in columns:
            if column not in there:
                known = known_names(column, [n for n in there if not n.startswith("_dlt_")])
                raise ProjectError(
                    f"Check `{check.name}`: table `{table}` has no column `{column}`. {known}",
                    "Name a column as it is called in the schema.",
                )


def prepare_checks(dataset: dlt.Dataset, checks: Mapping[str, Sequence[Check]]) -> dlt.Relation:
    """Return the results of checks as a relation that nobody has asked for yet.

    Args:
        dataset: The dataset.
        checks: Checks by table; those that are functions are not among them.

    Returns:
        A relation with a row for each check: `table_name`, `check_name`, `row_count`,
        `failing_count`.

    Raises:
        ProjectError: See `CheckSuite`; or there is no check.
    """
    return CheckSuite(dataset, checks).prepared()


def columns_of(dataset: dlt.Dataset) -> dict[str, dict[str, Any]]:
    """Return the columns of the tables of a dataset, from all of its schemas."""
    found: dict[str, dict[str, Any]] = {}
    for schema in dataset.schemas:
        for name, table in schema.tables.items():
            known = found.setdefault(name, {})
            known.update({c: hints for c, hints in table["columns"].items() if c not in known})
    return found


def _asked(of_table: Sequence[Check]) -> list[Check]:
    """Return the checks that one query looks at."""
    return [check for check in of_table if not isinstance(check, FunctionCheck)]


def _count(relation: dlt.Relation) -> int:
    ((count,),) = relations.answer(relation, "SELECT COUNT(*) FROM checked")
    return int(count)


def _passes(check: Check, total: int, failing: int) -> bool:
    if check.at_least == 1 or isinstance(check, TableCheck) or not total:
        return not failing
    return (total - failing) / total >= check.at_least
