"""What must hold of the rows of a table; each function makes a check.

A comparison with null is neither true nor false, as in SQL: null passes all checks of values but
`is_not_null` and `is_primary_key`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dlthub_project.data_quality.check_kinds import (
    Check,
    ConditionCheck,
    ForeignKeyCheck,
    FreshnessCheck,
    FunctionCheck,
    NotNullCheck,
    PatternCheck,
    PrimaryKeyCheck,
    RangeCheck,
    RowCountCheck,
    UniqueCheck,
    ValuesCheck,
    literal,
)

if TYPE_CHECKING:
    import dlt


def is_not_null(*columns: str, **options: Any) -> Check:
    """Check that none of these columns is null.

    Args:
        *columns: The columns.
        **options: `name`, `severity`, `at_least`, `where`, `only_this_load` of `Check`.
    """
    return NotNullCheck(_named(columns, "is_not_null"), **options)


def is_unique(*columns: str, **options: Any) -> UniqueCheck:
    """Check that no two rows have the same values in these columns, together.

    Null is a value here. All rows of a value that several rows have fail.

    Args:
        *columns: The columns.
        **options: See `is_not_null`.
    """
    return UniqueCheck(_named(columns, "is_unique"), **options)


def is_primary_key(*columns: str, **options: Any) -> Check:
    """Check that these columns are unique, together, and never null.

    Args:
        *columns: The columns.
        **options: See `is_not_null`.
    """
    return PrimaryKeyCheck(_named(columns, "is_primary_key"), **options)


def is_in(column: str, values: Iterable[Any], **options: Any) -> Check:
    """Check that a column has only these values.

    Args:
        column: The column.
        values: Numbers, texts, dates, booleans.
        **options: See `is_not_null`.
    """
    found = (values,) if isinstance(values, str) else tuple(values)
    if not found or any(value is None for value in found):
        raise ValueError("is_in: values are expected, without None: null passes this check anyway")
    return ValuesCheck((column,), values=tuple(map(literal, found)), **options)


def between(column: str, low: Any = None, high: Any = None, **options: Any) -> Check:
    """Check that a column is at least `low` and at most `high`.

    Args:
        column: The column.
        low: A number, text, date or time; None for no such bound.
        high: The same.
        **options: See `is_not_null`.
    """
    if low is None and high is None:
        raise ValueError("between: `low`, `high` or both are expected")
    bounds = [None if bound is None else literal(bound) for bound in (low, high)]
    return RangeCheck((column,), low=bounds[0], high=bounds[1], **options)


def matches(column: str, pattern: str, **options: Any) -> Check:
    r"""Check that a pattern is found in each text of a column; `^` and `$` stand for its ends.

    Args:
        column: The column.
        pattern: A regular expression of the destination's kind.
        **options: See `is_not_null`.
    """
    return PatternCheck((column,), pattern=pattern, **options)


def case(condition: str, **options: Any) -> Check:
    """Check that a condition holds for each row.

    Args:
        condition: In the SQL of the destination, such as `total >= 0 AND currency <> ''`.
        **options: See `is_not_null`; a `name` says more than `case` does.
    """
    return ConditionCheck(condition=condition, **options)


def is_foreign_key(column: str, to: str, **options: Any) -> Check:
    """Check that each value of a column is there in another table. Null refers to no row.

    Args:
        column: The column that refers.
        to: Table and column of the same dataset: `customers.id`.
        **options: See `is_not_null`.
    """
    table, dot, parent_column = to.partition(".")
    if not (table and dot and parent_column):
        raise ValueError(f"is_foreign_key: to=: `table.column` is expected, not {to!r}")
    return ForeignKeyCheck((column,), to=(table, parent_column), **options)


def freshness(column: str, within: timedelta, **options: Any) -> Check:
    """Check that some row is not older than `within`, by the clock of this machine.

    Args:
        column: A column of timestamps.
        within: How old the newest row may be.
        **options: See `is_not_null`; `at_least` says nothing here.
    """
    if not isinstance(within, timedelta):
        raise TypeError(f"freshness: within=: a timedelta is expected, not {within!r}")
    return FreshnessCheck((column,), seconds=within.total_seconds(), **options)


def row_count(
    min: int | None = None,
    max: int | None = None,
    change: float | None = None,
    **options: Any,
) -> Check:
    """Check that a table has at least `min` and at most `max` rows, and not many more or fewer.

    Args:
        min: The least number of rows; None for no such bound.
        max: The greatest.
        change: By what share of itself the number may grow or shrink from one load to the next:
            with 0.2, from 100 to 80 or to 120. It is compared with what `store_results` has stored
            for the load before; the first load of a dataset has nothing to compare with.
        **options: See `is_not_null`; `at_least` says nothing here.
    """
    if min is None and max is None and change is None:
        raise ValueError("row_count: `min`, `max` or `change` is expected")
    if change is not None and not change >= 0:
        raise ValueError(f"row_count: change=: a share of at least 0 is expected, not {change!r}")
    return RowCountCheck(low=min, high=max, change=change, **options)


def rows(function: Callable[[dlt.Relation], dlt.Relation], **options: Any) -> Check:
    """Check that a function finds no rows.

    Args:
        function: Takes the table, as a relation, and returns a relation of the rows that fail; the
            check has its name.
        **options: See `is_not_null`; `where` and `only_this_load` choose what it is given.
    """
    return FunctionCheck(function=function, **options)


def _named(columns: tuple[Any, ...], function: str) -> tuple[str, ...]:
    # dlt's documentation gives several as a list
    if len(columns) == 1 and isinstance(columns[0], list | tuple):
        columns = tuple(columns[0])
    if not columns or not all(isinstance(column, str) for column in columns):
        raise TypeError(f"{function}: name the columns")
    return columns
