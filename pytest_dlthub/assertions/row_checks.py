"""`assert_rows`: compares the rows of a relation, or any other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dlthub_project.dlt_internals import relations
from dlthub_project.dlt_internals.relations import quoted
from pytest_dlthub.assertions import Rows, table_rows
from pytest_dlthub.assertions.differences import RowDifferences, both_as_mappings, label, shortened
from pytest_dlthub.assertions.matching import is_same
from pytest_dlthub.assertions.records import is_dlt_name
from pytest_dlthub.assertions.relation_checks import fail, is_relation, read
from pytest_dlthub.assertions.tables import rows_of
from pytest_dlthub.data_coverage import reads

if TYPE_CHECKING:
    import dlt


@reads.looking
def assert_rows(
    relation_or_rows: dlt.Relation | Iterable[Mapping[str, Any]],
    expected: dlt.Relation | Iterable[Mapping[str, Any]],
    key: str | Sequence[str] | None = None,
    subset: bool = False,
    ordered: bool = False,
    tolerance: float | Decimal | None = None,
) -> None:
    """Assert that a relation has these rows, without dlt's own columns.

    Args:
        relation_or_rows: The relation, or rows that you have read from it.
        expected: The rows that it should have.
        key: The columns by which the report names a row; by default columns that fit.
        subset: Allow more rows, and more columns, than expected.
        ordered: Expect the rows in this order.
        tolerance: The largest difference of two numbers that count as equal.

    Raises:
        AssertionError: The rows differ; the message shows the cells that do.
        ValueError: Rows lack the key, or `subset` has no rows, so that it would always hold.
    """
    __tracebackhide__ = True
    in_sql = not (subset or ordered or tolerance is not None)
    if in_sql and is_relation(relation_or_rows) and is_relation(expected):
        actual, wanted = _differing(relation_or_rows, expected)
    else:
        actual, wanted = _rows(relation_or_rows), _rows(expected)
    actual, wanted = both_as_mappings(actual, wanted)
    names = (key,) if isinstance(key, str) else tuple(key or ())
    for side, rows in (("there", actual), ("expected", wanted)):
        if lacking := [name for name in names if any(name not in row for row in rows)]:
            raise ValueError(f"assert_rows: key=: rows that are {side} have no {lacking[0]!r}")
    if subset and not wanted:
        raise ValueError("assert_rows: subset=True needs expected rows, as none proves nothing")

    def same(one: Any, other: Any) -> bool:
        if is_same(one, other) or tolerance is None or not (_is_number(one) and _is_number(other)):
            return is_same(one, other)
        # Python subtracts no float from a decimal
        numbers = [Decimal(str(number)) for number in (one, other)]
        finite = all(number.is_finite() for number in numbers)
        return finite and abs(numbers[0] - numbers[1]) <= Decimal(str(tolerance))

    table = getattr(relation_or_rows, "table", None)
    if is_relation(relation_or_rows):
        table = relations.only_table(relation_or_rows)
    known = names or getattr(actual, "key", None)
    found = RowDifferences(actual, wanted, table=table, key=known, subset=subset, same=same)
    if found:
        fail([found.summary, *found.lines])
    reads.compared(actual, wanted)
    if ordered and (lines := _disorder(actual, wanted, subset, same)):
        fail([f"{table}: {lines[0]}" if table else lines[0], *lines[1:]])


def _rows(given: Any) -> Sequence[Mapping[str, Any]]:
    if is_relation(given):
        return table_rows(given)
    if hasattr(given, "__arrow_c_stream__"):
        import pyarrow as pa

        is_pandas = type(given).__module__.startswith("pandas")
        # without the index, and null where pandas has NaN
        made = pa.Table.from_pandas(given, preserve_index=False) if is_pandas else pa.table(given)
        rows: list[Mapping[str, Any]] = made.to_pylist()
        return rows
    found = given if isinstance(given, Rows) else list(given) if _is_iterable(given) else None
    if found is None or not all(isinstance(row, Mapping | tuple) for row in found):
        raise TypeError(f"assert_rows: {type(given).__name__} is no relation, and no rows")
    return found


def _is_iterable(given: Any) -> bool:
    # not by attributes: a dataset has any that one asks for
    return isinstance(given, Iterable) and not isinstance(given, str | Mapping)


def _differing(
    one: dlt.Relation, other: dlt.Relation
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """Return the rows that differ if the destination can compare them exactly, else all rows."""
    types = [
        {
            name: (column.get("data_type"), column.get("timezone"))
            for name, column in relation.columns_schema.items()
            if not is_dlt_name(name)
        }
        for relation in (one, other)
    ]
    # other databases have collations, by which different texts are equal
    is_exact = one.query_dialect in ("duckdb", "postgres")
    are_alike = bool(types[0]) and types[0] == types[1]
    if not (is_exact and are_alike and relations.are_of_one_dataset(one, other)):
        return _rows(one), _rows(other)
    doubles = [name for name, (kind, _) in types[0].items() if kind == "double"]
    if any_nan := " OR ".join(f"{quoted(name)} = CAST('NaN' AS DOUBLE)" for name in doubles):
        ((count,),) = relations.answer(one, f"SELECT COUNT(*) FROM checked WHERE {any_nan}")
        if count:
            # NaN is equal to NaN there, and not in Python
            return _rows(one), _rows(other)
    names = ", ".join(map(quoted, types[0]))
    query = f"SELECT {names} FROM checked EXCEPT ALL SELECT {names} FROM other"
    left, right = (
        read(relation, relations.answer(relation, query, other=beside), list(types[0]))
        for relation, beside in ((one, other), (other, one))
    )
    return rows_of(one, left), right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _disorder(
    actual: Sequence[Any], expected: Sequence[Any], subset: bool, same: Callable[[Any, Any], bool]
) -> list[str]:
    """Return what is at the wrong position; an empty list if all rows are in order."""
    left = iter(enumerate(actual))
    for row in expected:
        for place, found in left:
            names = row.keys() if subset else {*row, *found}
            if all(n in found and n in row and same(found[n], row[n]) for n in names):
                break
            if not subset:
                where = f"row {place}: {shortened(found)} != {shortened(row)}"
                return ["the same rows in another order", where]
        else:
            return ["rows in another order", f"this row comes too early: {label(row, ())}"]
    return []
