"""The kinds of checks: each is SQL that the destination answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Literal

from dlthub_project.dlt_internals.relations import quoted

if TYPE_CHECKING:
    import dlt

Severity = Literal["error", "warn"]


@dataclass(frozen=True)
class Scope:
    """The rows that are looked at, and how the destination spells SQL.

    Attributes:
        condition: The condition, in SQL, that the rows to look at fulfil.
        dialect: The dialect in which users write conditions, as sqlglot calls it.
        earlier: The rows that there were after the load before; None if nobody knows.
    """

    condition: str
    dialect: str | None
    earlier: int | None = None


@dataclass(frozen=True)
class Check:
    """Something that must hold of a table.

    Attributes:
        columns: The columns of the table that it reads by their names.
        name: Tells it from the other checks of its table; by default `<columns>__<kind>`.
        severity: `error`, or `warn`: a failure is told, and nothing follows.
        at_least: The share of rows that must pass, from 0 to 1.
        where: A condition, in the SQL of the destination; other rows are not looked at.
        only_this_load: Only rows of the last load are looked at.
    """

    columns: tuple[str, ...] = ()
    _: KW_ONLY
    name: str = ""
    severity: Severity = "error"
    at_least: float = 1.0
    where: str | None = None
    only_this_load: bool = False

    def __post_init__(self) -> None:
        if self.severity not in ("error", "warn"):
            raise ValueError(f"severity: `error` or `warn` is expected, not {self.severity!r}")
        if not 0 <= self.at_least <= 1:
            raise ValueError(f"at_least: a share from 0 to 1 is expected, not {self.at_least!r}")
        object.__setattr__(self, "name", self.name or self.default_name)

    @property
    def kind(self) -> str:
        """The name of the function that makes such checks."""
        raise NotImplementedError

    @property
    def default_name(self) -> str:
        """The name of a check that is given no name."""
        return "__".join(("_".join(self.columns), self.kind)).removeprefix("__")

    @property
    def column(self) -> str:
        """The one column that it reads, as SQL has it."""
        (column,) = self.columns
        return quoted(column)

    @property
    def parent(self) -> tuple[str, str] | None:
        """Another table that it reads, and the column there."""
        return None

    @property
    def compares_loads(self) -> bool:
        """Whether it needs what was stored after the load before."""
        return False

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, for the schema; see `check_of`."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        defaults = {one.name: one.default for one in fields(self)}
        kept = {name: value for name, value in given.items() if value != defaults[name]}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}
        return {"kind": self.kind, **plain}

    @property
    def definition(self) -> str:
        """All that it checks, as a text: a changed check has another text."""
        return json.dumps(self.as_dict(), sort_keys=True, default=str)

    def failing(self, scope: Scope) -> str:
        """Return the number of rows that fail, as an expression over the table `checked`."""
        raise NotImplementedError

    def failing_row(self, scope: Scope) -> str | None:
        """Return the condition that failing rows fulfil; None if the check blames no rows."""
        raise NotImplementedError


@dataclass(frozen=True)
class RowCheck(Check):
    """A check of each row by itself."""

    def passes(self, scope: Scope) -> str:
        """Return the condition that passing rows fulfil."""
        raise NotImplementedError

    def failing(self, scope: Scope) -> str:
        return f"COUNT(CASE WHEN {self.failing_row(scope)} THEN 1 END)"

    def failing_row(self, scope: Scope) -> str:
        return f"{scope.condition} AND NOT ({self.passes(scope)})"


@dataclass(frozen=True)
class TableCheck(Check):
    """A check of a table as a whole: the table fails, and no row is to blame."""

    def failing_row(self, scope: Scope) -> None:
        return None


@dataclass(frozen=True)
class NotNullCheck(RowCheck):
    """See `is_not_null`."""

    kind = "is_not_null"

    def passes(self, scope: Scope) -> str:
        return " AND ".join(f"{quoted(column)} IS NOT NULL" for column in self.columns)


@dataclass(frozen=True)
class ValuesCheck(RowCheck):
    """See `is_in`; the values are SQL."""

    values: tuple[str, ...] = ()
    kind = "is_in"

    def passes(self, scope: Scope) -> str:
        return f"{self.column} IN ({', '.join(self.values)})"


@dataclass(frozen=True)
class RangeCheck(RowCheck):
    """See `between`; the bounds are SQL."""

    low: str | None = None
    high: str | None = None
    kind = "between"

    def passes(self, scope: Scope) -> str:
        bounds = (("<=", self.high), (">=", self.low))
        return " AND ".join(
            f"{self.column} {sign} {bound}" for sign, bound in bounds if bound is not None
        )


@dataclass(frozen=True)
class PatternCheck(RowCheck):
    """See `matches`."""

    pattern: str = ""
    kind = "matches"

    def passes(self, scope: Scope) -> str:
        return f"REGEXP_MATCHES({self.column}, {literal(self.pattern)})"


@dataclass(frozen=True)
class ConditionCheck(RowCheck):
    """See `case`."""

    condition: str = ""
    kind = "case"

    def passes(self, scope: Scope) -> str:
        return of_user(self.condition, scope.dialect)


@dataclass(frozen=True)
class UniqueCheck(Check):
    """See `is_unique`."""

    kind = "is_unique"

    def failing(self, scope: Scope) -> str:
        return f"(SELECT COALESCE(SUM(g.n), 0) FROM ({self.groups(scope)}) AS g)"

    def failing_row(self, scope: Scope) -> str:
        same = " AND ".join(
            f"g.{quoted(column)} IS NOT DISTINCT FROM checked.{quoted(column)}"
            for column in self.columns
        )
        groups = self.groups(scope)
        return f"{scope.condition} AND EXISTS (SELECT 1 FROM ({groups}) AS g WHERE {same})"

    def groups(self, scope: Scope) -> str:
        """Return a query of the values that several rows have, and of the number of rows (`n`)."""
        names = ", ".join(map(quoted, self.columns))
        return (
            f"SELECT {names}, COUNT(*) AS n FROM checked WHERE {self._counted(scope)} "
            f"GROUP BY {names} HAVING COUNT(*) > 1"
        )

    def _counted(self, scope: Scope) -> str:
        return scope.condition


@dataclass(frozen=True)
class PrimaryKeyCheck(UniqueCheck):
    """See `is_primary_key`."""

    kind = "is_primary_key"

    def failing(self, scope: Scope) -> str:
        return f"{super().failing(scope)} + COUNT(CASE WHEN {self._null(scope)} THEN 1 END)"

    def failing_row(self, scope: Scope) -> str:
        return f"({super().failing_row(scope)}) OR ({self._null(scope)})"

    def _counted(self, scope: Scope) -> str:
        return f"{scope.condition} AND NOT ({self._any_null()})"

    def _null(self, scope: Scope) -> str:
        return f"{scope.condition} AND ({self._any_null()})"

    def _any_null(self) -> str:
        return " OR ".join(f"{quoted(column)} IS NULL" for column in self.columns)


@dataclass(frozen=True)
class ForeignKeyCheck(Check):
    """See `is_foreign_key`; `to` is table and column."""

    to: tuple[str, str] = ("", "")
    kind = "is_foreign_key"

    @property
    def parent(self) -> tuple[str, str]:
        return self.to

    def failing(self, scope: Scope) -> str:
        return f"(SELECT COUNT(*) FROM checked WHERE {self.failing_row(scope)})"

    def failing_row(self, scope: Scope) -> str:
        table, column = self.to
        theirs = f"SELECT 1 FROM {quoted(parent_name(table))} AS p"
        child = f"checked.{self.column}"
        return (
            f"{scope.condition} AND {child} IS NOT NULL "
            f"AND NOT EXISTS ({theirs} WHERE p.{quoted(column)} = {child})"
        )


@dataclass(frozen=True)
class FreshnessCheck(TableCheck):
    """See `freshness`."""

    seconds: float = 0.0
    kind = "freshness"

    def failing(self, scope: Scope) -> str:
        oldest = literal(datetime.now(timezone.utc) - timedelta(seconds=self.seconds))
        fresh = f"{scope.condition} AND {self.column} >= {oldest}"
        return f"CASE WHEN COUNT(CASE WHEN {fresh} THEN 1 END) > 0 THEN 0 ELSE 1 END"


@dataclass(frozen=True)
class RowCountCheck(TableCheck):
    """See `row_count`."""

    low: int | None = None
    high: int | None = None
    change: float | None = None
    kind = "row_count"

    @property
    def compares_loads(self) -> bool:
        return self.change is not None

    def failing(self, scope: Scope) -> str:
        count = f"COUNT(CASE WHEN {scope.condition} THEN 1 END)"
        bounds: list[tuple[str, float | None]] = [(">=", self.low), ("<=", self.high)]
        if self.change is not None and scope.earlier is not None:
            bounds.append((">=", ceil(Fraction(scope.earlier) * (1 - self._share))))
            bounds.append(("<=", floor(Fraction(scope.earlier) * (1 + self._share))))
        holds = " AND ".join(
            f"{count} {sign} {bound}" for sign, bound in bounds if bound is not None
        )
        return f"CASE WHEN {holds or 'TRUE'} THEN 0 ELSE 1 END"

    @property
    def _share(self) -> Fraction:
        # the share as it is written, in decimals: 0.1 of 10 is exactly 1
        return Fraction(str(self.change))


@dataclass(frozen=True)
class FunctionCheck(Check):
    """A check by a function, which takes a relation and returns a relation of failing rows."""

    function: Callable[[dlt.Relation], dlt.Relation] = field(kw_only=True)

    @property
    def kind(self) -> str:
        return self.function.__name__

    @property
    def definition(self) -> str:
        options = {one.name: getattr(self, one.name) for one in fields(self)}
        code = getattr(self.function, "__code__", None)
        # its code, and not its place: the file may have moved
        options["function"] = (self.kind, code and code.co_code.hex(), code and _constants(code))
        return json.dumps(options, sort_keys=True, default=str)

    def as_dict(self) -> dict[str, Any]:
        raise TypeError(
            f"the check `{self.name}` is a function, which a schema cannot hold; give it to "
            "CheckSuite or assert_checks"
        )

    def failing(self, scope: Scope) -> str:
        raise NotImplementedError("it is a query of its own")

    def failing_row(self, scope: Scope) -> None:
        return None


def _constants(code: Any) -> list[Any]:
    """Return the constants of some code and the names that it calls, without memory addresses."""
    inner = [_constants(one) if hasattr(one, "co_code") else repr(one) for one in code.co_consts]
    return [*code.co_names, *inner]


_KINDS: dict[Any, Any] = {
    made.kind: made
    for made in (
        NotNullCheck,
        UniqueCheck,
        PrimaryKeyCheck,
        ValuesCheck,
        RangeCheck,
        PatternCheck,
        ConditionCheck,
        ForeignKeyCheck,
        FreshnessCheck,
        RowCountCheck,
    )
}


def check_of(plain: Mapping[str, Any]) -> Check:
    """Return a check that is plain data; see `Check.as_dict`."""
    arguments: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()
    }
    made: Check = _KINDS[arguments.pop("kind")](**arguments)
    return made


def literal(value: Any) -> str:
    """Return a value as a literal of SQL, which is not yet in the dialect of a destination."""
    import sqlglot

    return sqlglot.exp.convert(value).sql(dialect="duckdb")


def of_user(condition: str, dialect: str | None) -> str:
    """Return a condition that a user has written for a destination.

    Raises:
        ValueError: It is no expression of SQL.
    """
    import sqlglot

    try:
        parsed = sqlglot.parse_one(condition, dialect=dialect, into=sqlglot.exp.Condition)
    except sqlglot.ParseError as error:
        raise ValueError(f"{condition!r} is no condition in SQL: {error}") from None
    return f"({parsed.sql(dialect='duckdb')})"


def parent_name(table: str) -> str:
    """Return the name under which queries know another table of the dataset."""
    return f"parent_{table}"
