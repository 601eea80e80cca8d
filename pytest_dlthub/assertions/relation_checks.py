"""Assertions about relations: one error names everything that is wrong, with samples.

The destination evaluates them. Of a large table, we fetch only the rows that are wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from dlthub_project.data_quality import checks
from dlthub_project.data_quality.check_kinds import Scope, parent_name
from dlthub_project.dlt_internals import relations
from dlthub_project.dlt_internals.relations import quoted
from pytest_dlthub.assertions.differences import (
    label,
    rows_counted,
    shortened,
)
from pytest_dlthub.assertions.records import (
    is_dlt_name,
    read_records,
    type_told,
    without_dlt_columns,
)
from pytest_dlthub.data_coverage.reads import looking

if TYPE_CHECKING:
    import dlt

_SAMPLE_ROWS, _SAMPLE_VALUES = 3, 10
_PARENT, _ID = "_dlt_parent_id", "_dlt_id"
_ALL = Scope("TRUE", None)


def assert_columns(
    relation: dlt.Relation,
    expected: Mapping[str, str],
    nullable: Collection[str] | None = None,
    subset: bool = False,
) -> None:
    """Assert that a relation has these columns and no others, except dlt's own.

    Args:
        relation: The relation.
        expected: dlt's data type by column: `bigint`, `decimal`, `decimal(10,2)`.
        nullable: All of these columns that may be null; None to ignore that.
        subset: Allow more columns.

    Raises:
        AssertionError: It has other columns, or they have other types.
    """
    __tracebackhide__ = True
    _check_relation(relation, "assert_columns")
    there, table = relation.columns_schema, _name(relation)
    if isinstance(nullable, str):
        nullable = (nullable,)
    lines = []
    for name, data_type in expected.items():
        if name not in there:
            lines.append(f"{table}: {unknown_column(name, there)}")
            continue
        found = type_told(there[name], precise="(" in data_type)
        if found != data_type.replace(" ", ""):
            lines.append(f"{table}.{name}: {found} != {data_type}")
        if nullable is not None and (is_null := there[name].get("nullable", True)) != (
            name in nullable
        ):
            words = ("nullable", "not null")
            lines.append(f"{table}.{name}: {' != '.join(words if is_null else words[::-1])}")
    unexpected = sorted({*(nullable or ())} - expected.keys())
    lines += [f"{table}: nullable=: {name} is not expected" for name in unexpected]
    if not subset:
        lines += [
            f"{table}: column too many: {name} ({type_told(column)})"
            for name, column in there.items()
            if name not in expected and not is_dlt_name(name)
        ]
    fail_if(lines, f"{table}: columns are not as expected")


@looking
def assert_unique(relation: dlt.Relation, *columns: str) -> None:
    """Assert that no two rows have the same values in these columns. Null counts as a value.

    Args:
        relation: The relation.
        *columns: The columns that together identify a row.

    Raises:
        AssertionError: Rows have the same values; or there are no rows, which proves nothing.
    """
    __tracebackhide__ = True
    _check_relation(relation, "assert_unique")
    table = _name(relation)
    _checked_columns(relation, columns, "assert_unique")
    names = ", ".join(quoted(name) for name in columns)
    groups = checks.is_unique(*columns).groups(_ALL)
    ((count,),) = relations.answer(relation, f"SELECT COUNT(*) FROM ({groups}) AS g")
    if not count:
        return
    found = relations.answer(relation, f"{groups} ORDER BY {names} LIMIT {_SAMPLE_VALUES}")
    lines = []
    samples = read(relation, [cells for *cells, _ in found], columns)
    for values, (*_, n) in zip(samples, found, strict=True):
        lines.append(f"{', '.join(f'{k}={shortened(v)}' for k, v in values.items())}: {n} rows")
    if count > len(lines):
        lines.append(f"and {count - len(lines)} more")
    of = " and ".join(columns)
    words = f"1 value of {of} is" if count == 1 else f"{count} values of {of} are"
    fail([f"{table}: {words} in more than one row", *lines])


@looking
def assert_not_null(relation: dlt.Relation, *columns: str) -> None:
    """Assert that none of these columns is null in any row.

    Args:
        relation: The relation.
        *columns: The columns.

    Raises:
        AssertionError: A column is null; or there are no rows, which proves nothing.
    """
    __tracebackhide__ = True
    _check_relation(relation, "assert_not_null")
    table = _name(relation)
    total = _checked_columns(relation, columns, "assert_not_null")
    asked = [checks.is_not_null(name) for name in columns]
    counts = ", ".join(check.failing(_ALL) for check in asked)
    (nulls,) = relations.answer(relation, f"SELECT {counts} FROM checked")
    lines = []
    for name, check, count in zip(columns, asked, nulls, strict=True):
        if count:
            lines.append(f"{table}: {name} is null in {count} of {rows_counted(total)}")
            lines += _samples(relation, str(check.failing_row(_ALL)))
    fail_if(lines)


@looking
def assert_foreign_key(
    child: dlt.Relation,
    parent: dlt.Relation,
    column: str | None = None,
    parent_column: str | None = None,
) -> None:
    """Assert that each row of `child` refers to a row of `parent`, or to none by null.

    Args:
        child: The rows that refer to others.
        parent: The rows that they refer to.
        column: The foreign key of `child`; a nested table of dlt needs none.
        parent_column: The column of `parent` that it refers to; by default of the same name.

    Raises:
        AssertionError: Rows have no parent; or all refer to none, which proves nothing.
        ValueError: A column is missing, or `column` is not given.
    """
    __tracebackhide__ = True
    for relation in (child, parent):
        _check_relation(relation, "assert_foreign_key")
    if column is None:
        if _PARENT not in child.columns:
            raise ValueError(f"assert_foreign_key: {_name(child)} is no nested table; name column=")
        column, parent_column = _PARENT, parent_column or _ID
    parent_column = parent_column or column
    for relation, name, argument in ((child, column, ""), (parent, parent_column, "parent_")):
        if name not in relation.columns:
            text = unknown_column(name, relation.columns)
            raise ValueError(f"assert_foreign_key: {argument}column=: {_name(relation)}: {text}")
    refers = f"{quoted(column)} IS NOT NULL"
    ((total,),) = relations.answer(child, f"SELECT COUNT(*) FROM checked WHERE {refers}")
    title = f"{_name(child)}.{column} → {_name(parent)}.{parent_column}"
    if not total:
        fail([f"{title}: no row refers to a parent, so that nothing is checked"])
    if relations.are_of_one_dataset(child, parent):
        check = checks.is_foreign_key(column, f"other.{parent_column}")
        query = f"SELECT {check.failing(_ALL)}"
        others = {parent_name("other"): parent}
        ((count,),) = relations.answer(child, query, **others)
        samples = _samples(child, str(check.failing_row(_ALL)), **others) if count else []
    else:
        keys = relations.answer(parent, f"SELECT {quoted(parent_column)} FROM checked")
        kept = {row[parent_column] for row in read(parent, keys, [parent_column])}
        rows = rows_where(child, refers)
        orphans = [row for row in rows if row[column] not in kept]
        count, samples = len(orphans), shown(orphans)
    if count:
        noun = "row has" if count == 1 else "rows have"
        fail([f"{title}: {count} {noun} no parent, of {total}", *samples])


def rows_where(
    relation: dlt.Relation, condition: str, limit: str = "", **others: dlt.Relation
) -> list[dict[str, Any]]:
    """Return the rows for which a condition holds, dlt's columns included.

    Args:
        relation: The relation.
        condition: In SQL.
        limit: A LIMIT, in SQL.
        **others: Other relations of the dataset, by what the condition calls them.
    """
    names = ", ".join(map(quoted, relation.columns))
    query = f"SELECT {names} FROM checked WHERE {condition}{limit}"
    return read(relation, relations.answer(relation, query, **others))


def unknown_column(name: str, there: Iterable[str]) -> str:
    """Return that a relation has no such column, and the nearest name."""
    known = [column for column in there if not is_dlt_name(column)]
    close = "".join(f"; did you mean {c}?" for c in get_close_matches(name, known, 1))
    return f"no column {name}{close}"


def shown(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the first of some rows as lines, without dlt's columns."""
    return [f"  {label(without_dlt_columns(row), ())}" for row in list(rows)[:_SAMPLE_ROWS]]


def fail_if(lines: list[str], title: str | None = None) -> None:
    """Fail with these lines, if there are any."""
    __tracebackhide__ = True
    if lines:
        fail([*([title] if title else []), *lines])


def fail(lines: list[str]) -> NoReturn:
    """Fail with these lines."""
    __tracebackhide__ = True
    raise AssertionError("\n".join(lines))


def _check_relation(given: Any, function: str) -> None:
    if not is_relation(given):
        raise TypeError(
            f"{function}: {type(given).__name__} is no relation; give a table, "
            'run.dataset.table("orders"), or a query, run.dataset("select …")'
        )


def is_relation(given: Any) -> TypeGuard[dlt.Relation]:
    """Tell whether something is a relation of dlt."""
    # a class has no attributes that its tables are called by
    return hasattr(type(given), "to_sql") and hasattr(type(given), "fetchall")


def _name(relation: dlt.Relation) -> str:
    return relations.only_table(relation) or "the relation"


def _checked_columns(relation: dlt.Relation, columns: Sequence[str], function: str) -> int:
    """Return the number of rows.

    Raises:
        TypeError: No columns are named.
        AssertionError: There are no such columns, or no rows.
    """
    __tracebackhide__ = True
    if not columns:
        raise TypeError(f"{function}: name the columns")
    table, there = _name(relation), relation.columns
    fail_if([f"{table}: {unknown_column(name, there)}" for name in columns if name not in there])
    ((total,),) = relations.answer(relation, "SELECT COUNT(*) FROM checked")
    if not total:
        fail([f"{table}: no rows, so that nothing is checked"])
    return int(total)


def _samples(relation: dlt.Relation, condition: str, **others: dlt.Relation) -> list[str]:
    return shown(rows_where(relation, condition, f" LIMIT {_SAMPLE_ROWS}", **others))


def read(
    relation: dlt.Relation, rows: Iterable[Sequence[Any]], columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return what was read of a relation as rows of all its columns, or of some."""
    there = relation.columns_schema
    return read_records([(name, there[name]) for name in columns or there], rows)
