"""Which columns a read looks at: those that it names, and those that it fetches with all others.

Imports nothing heavy: assertions and rows ask it whether anybody wants to know.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from unittest.mock import ANY

from pytest_dlthub.data_coverage import active_recorder

if TYPE_CHECKING:
    import dlt

Columns = frozenset[tuple[str, str]]
"""Columns by table."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Read:
    """What one read looks at.

    Attributes:
        named: The columns that it names: in what it selects, compares, joins or orders by.
        fetched: Those that it fetches with all others (`select *`): nobody knows whether the test
            looks at them.
    """

    named: Columns = frozenset()
    fetched: Columns = frozenset()


class _Here(threading.local):
    suppressed: int = 0
    held: list[Callable[[], None]] | None = None


_here = _Here()


def is_suppressed() -> bool:
    """Tell whether what is read now is read by the harness itself."""
    return _here.suppressed > 0


@contextmanager
def suppressed() -> Iterator[None]:
    """Take down no reads of a block: the harness needs more than the test looks at."""
    _here.suppressed += 1
    try:
        yield
    finally:
        _here.suppressed -= 1


def unseen(assertion: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have what an assertion reads not count: it compares data with themselves."""

    @functools.wraps(assertion)
    def asserted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        __tracebackhide__ = True
        with suppressed():
            return assertion(*args, **kwargs)

    return asserted


def when_held(take: Callable[[], None]) -> None:
    """Take something down now, or when the assertion ends that is asking."""
    if _here.held is None:
        take()
    else:
        _here.held.append(take)


def looking(assertion: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have what an assertion looks at count if it holds; one that raises may not have looked."""

    @functools.wraps(assertion)
    def asserted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        __tracebackhide__ = True
        if active_recorder.recorder() is None:
            return assertion(*args, **kwargs)
        before, _here.held = _here.held, []
        try:
            result = assertion(*args, **kwargs)
            held = _here.held
        finally:
            _here.held = before
        for take in held or ():
            when_held(take)
        return result

    return asserted


def connection_taken(dataset_name: str) -> None:
    """Take down that a test has the place of a database: it may read what it likes."""
    if (recorder := active_recorder.recorder()) is not None and not is_suppressed():
        recorder.connection_taken(dataset_name, "")


@dataclass(frozen=True)
class Origin:
    """Where rows come from that a test has: a table of a dataset."""

    dataset_name: str
    table: str

    def look(self, columns: Iterable[str]) -> None:
        """Take down columns that a test has named, or compared."""
        _take(self.dataset_name, frozenset((self.table, name) for name in columns), True)


def _take(dataset_name: str, columns: Columns, is_known: bool) -> None:
    if (recorder := active_recorder.recorder()) is not None and columns:
        when_held(functools.partial(recorder.looked, dataset_name, columns, is_known))


def compared(rows: Any, others: Iterable[Any]) -> None:
    """Take down what a comparison of rows of a table with others looks at.

    Columns for which any value would do, `unittest.mock.ANY`, are not looked at.

    Args:
        rows: Rows that know where they come from; others are not looked at.
        others: What they are compared with.
    """
    if (origin := getattr(rows, "origin", None)) is None or not rows:
        return
    found: set[tuple[str, str]] = set()
    for other in others:
        if isinstance(other, tuple) and rows.names:
            other = dict(zip(rows.names, other, strict=False))
        found |= _columns_in(origin.table, other)
    _take(origin.dataset_name, frozenset(found), True)


def _columns_in(table: str, row: Any) -> set[tuple[str, str]]:
    """Return the columns of a row, and those of nested rows in it, of the tables that they have."""
    if not isinstance(row, Mapping):
        return set() if row is ANY else {(table, "value")}
    found = {(table, str(name)) for name, value in row.items() if value is not ANY}
    for name, value in row.items():
        for inner in value if isinstance(value, list) else ():
            found |= _columns_in(f"{table}__{name}", inner)
    return found


def of_rows_of_table(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a method that reads rows of a table, `TableReader.rows`, tell what the test looks at.

    It reads keys and parents, too, to put the rows into their order.
    """

    @functools.wraps(read)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        __tracebackhide__ = True
        if active_recorder.recorder() is None or is_suppressed():
            return read(*args, **kwargs)
        with suppressed():
            rows: Any = read(*args, **kwargs)
        reader: Any = args[0]
        rows.origin = Origin(*reader.place)
        names = [*(args[1] if len(args) > 1 else ()), *(kwargs.get("columns") or ())]  # type: ignore[misc]  # names of columns
        rows.origin.look([*names, *_compared_by(kwargs)])
        if not names:
            handed = {column for row in rows[:1] for column in _columns_in(reader.place[1], row)}
            for row in rows if kwargs.get("nested") else ():
                handed |= _columns_in(reader.place[1], row)
            _take(reader.place[0], frozenset(handed), False)
        result: _R = rows
        return result

    return told


def _compared_by(arguments: Mapping[str, Any]) -> list[str]:
    """Return the columns that decide which rows come, or in which order."""
    where, order = arguments.get("where"), arguments.get("order_by")
    found = [*where] if isinstance(where, Mapping) else []
    if isinstance(where, tuple):
        found.append(where[0])
    for one in order if isinstance(order, list) else [order]:
        found += [one] if isinstance(one, str) else [*(one or ())][:1]
    return found


def of_rows_of_relation(read: Callable[[dlt.Relation], _R]) -> Callable[[dlt.Relation], _R]:
    """Have a function that reads the rows of a relation tell what the test looks at."""

    @functools.wraps(read)
    def told(relation: dlt.Relation) -> _R:
        __tracebackhide__ = True
        recorder = active_recorder.recorder()
        if recorder is None or is_suppressed():
            return read(relation)
        with suppressed():
            rows: Any = read(relation)
        recorder.relation_read(relation)
        rows.origin = recorder.origin_of(relation, rows.table)
        result: _R = rows
        return result

    return told


def of_relation(relation: dlt.Relation) -> Read:
    """Return what a relation reads of the tables of its dataset."""
    from dlthub_project.dlt_internals import relations

    dataset = relations.dataset_of(relation)
    columns = {
        name: [*table["columns"]]
        for schema in dataset.schemas
        for name, table in schema.tables.items()
    }
    text = relation.sqlglot_expression.sql(dialect=relation.destination_dialect)
    return of_query(text, relation.destination_dialect, columns)


def of_query(query: str, dialect: Any, tables: Mapping[str, Sequence[str]]) -> Read:
    """Return what a query reads of tables, by their names alone.

    Args:
        query: The query; what is none, or cannot be understood, reads nothing.
        dialect: That of sqlglot.
        tables: Their columns.
    """
    text = query.lower()
    shape = tuple((name, tuple(cs)) for name, cs in tables.items() if name.lower() in text)
    return _of_query(query, dialect, shape) if shape else Read()


@functools.lru_cache(maxsize=2_000)
def _of_query(query: str, dialect: Any, shape: tuple[tuple[str, tuple[str, ...]], ...]) -> Read:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.pushdown_projections import pushdown_projections
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import traverse_scope

    tables = dict(shape)
    # dialects change the case of names
    spelt = {(t.lower(), c.lower()): (t, c) for t, columns in shape for c in columns}

    def physical(tree: Any) -> set[tuple[str, str]]:
        found = set()
        for scope in traverse_scope(pushdown_projections(tree)):
            for column in scope.columns:
                source = scope.sources.get(column.table)
                if isinstance(source, exp.Table):
                    found.add(spelt.get((source.name.lower(), column.name.lower())))
        return {one for one in found if one is not None}

    all_of_them = Read(fetched=frozenset((t, c) for t, columns in shape for c in columns))
    try:
        parsed = sqlglot.parse_one(query, dialect=dialect)
        if not isinstance(parsed, exp.Query):
            changes = (exp.Alter, exp.Delete, exp.Drop, exp.TruncateTable, exp.Update)
            reads = isinstance(parsed, exp.Command | exp.Copy | exp.Describe | exp.Summarize)
            has_query = not isinstance(parsed, changes) and parsed.find(exp.Query)
            return all_of_them if reads or has_query else Read()
        names = {table.alias_or_name for table in parsed.find_all(exp.Table)}
        if parsed.find(exp.Columns, exp.Pivot) or any(
            column.name in names for column in parsed.find_all(exp.Column)
        ):
            # `columns(*)`, and rows as values
            return all_of_them
        for table in parsed.find_all(exp.Table):
            # the same table, whichever way it is written
            table.set("db", None)
            table.set("catalog", None)
        # dlt's own, which every table may have
        own = {c.name for c in parsed.find_all(exp.Column) if c.name.lower().startswith("_dlt_")}
        schema: dict[str, object] = {
            name: dict.fromkeys((*columns, *own), "text") for name, columns in tables.items()
        }
        named_alone = _without_stars(parsed.copy())
        qualified = [
            qualify(tree, dialect=dialect, schema=schema, validate_qualify_columns=False)
            for tree in (parsed, named_alone)
        ]
        everything, named = map(physical, qualified)
    except (SqlglotError, ValueError, KeyError, AttributeError, RecursionError):
        # of a dialect's own: nobody knows what it reads
        return all_of_them
    return Read(frozenset(named), frozenset(everything - named))


def _without_stars(query: Any) -> Any:
    """Return a query without the columns that it selects with all others, at its end alone."""
    from sqlglot import exp

    if isinstance(query, exp.SetOperation):
        for side in ("this", "expression"):
            inner = query.args[side]
            # in parentheses, too
            query.set(side, _without_stars(inner.unnest()))
        return query
    if isinstance(query, exp.Select):
        kept = [each for each in query.expressions if not each.is_star]
        query.set("expressions", kept or [exp.alias_(exp.Literal.number(1), "one")])
    return query
