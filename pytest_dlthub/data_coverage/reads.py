"""Which columns a read looks at: those that it names, and those that `*` adds.

It imports nothing heavy, since assertions and rows use it in every session.
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
"""Pairs of a table and a column."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Read:
    """The columns of one read.

    Attributes:
        named: The columns that it names: it selects, compares, joins or sorts by them.
        fetched: The columns that it only gets by `select *`: we cannot know whether the test looks
            at them.
    """

    named: Columns = frozenset()
    fetched: Columns = frozenset()


class _Here(threading.local):
    suppressed: int = 0
    held: list[Callable[[], None]] | None = None


_here = _Here()


def is_suppressed() -> bool:
    """Tell whether the harness itself is reading now."""
    return _here.suppressed > 0


@contextmanager
def suppressed() -> Iterator[None]:
    """Record no reads of a block: the harness reads more than the test looks at."""
    _here.suppressed += 1
    try:
        yield
    finally:
        _here.suppressed -= 1


def unseen(assertion: Callable[_P, _R]) -> Callable[_P, _R]:
    """Record no reads of an assertion, since it compares data with themselves."""

    @functools.wraps(assertion)
    def asserted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        __tracebackhide__ = True
        with suppressed():
            return assertion(*args, **kwargs)

    return asserted


def when_held(take: Callable[[], None]) -> None:
    """Call a function now, or at the end of the assertion that is running, if it holds."""
    if _here.held is None:
        take()
    else:
        _here.held.append(take)


def looking(assertion: Callable[_P, _R]) -> Callable[_P, _R]:
    """Record what an assertion looks at only if it holds: one that raises may not have looked."""

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
    """Record that a test has the place of a database: we cannot know what it reads there."""
    if (recorder := active_recorder.recorder()) is not None and not is_suppressed():
        recorder.connection_taken(dataset_name, "")


@dataclass(frozen=True)
class Origin:
    """The table and dataset that a test's rows come from."""

    dataset_name: str
    table: str

    def look(self, columns: Iterable[str]) -> None:
        """Record columns that a test has named or compared."""
        _take(self.dataset_name, frozenset((self.table, name) for name in columns), True)


def _take(dataset_name: str, columns: Columns, is_known: bool) -> None:
    if (recorder := active_recorder.recorder()) is not None and columns:
        when_held(functools.partial(recorder.looked, dataset_name, columns, is_known))


def compared(rows: Any, others: Iterable[Any]) -> None:
    """Record the columns in a comparison of a table's rows with others.

    Columns that accept any value, `unittest.mock.ANY`, do not count.

    Args:
        rows: Rows with an origin; others do not count.
        others: The rows to compare with.
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
    """Return the columns of a row, and those of its nested rows, with their tables."""
    if not isinstance(row, Mapping):
        return set() if row is ANY else {(table, "value")}
    found = {(table, str(name)) for name, value in row.items() if value is not ANY}
    for name, value in row.items():
        for inner in value if isinstance(value, list) else ():
            found |= _columns_in(f"{table}__{name}", inner)
    return found


def of_rows_of_table(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Wrap `TableReader.rows`, so that it records which columns the test looks at.

    Beyond these, it reads keys and parents to sort the rows.
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
    """Return the columns that filter or sort the rows."""
    where, order = arguments.get("where"), arguments.get("order_by")
    found = [*where] if isinstance(where, Mapping) else []
    if isinstance(where, tuple):
        found.append(where[0])
    for one in order if isinstance(order, list) else [order]:
        found += [one] if isinstance(one, str) else [*(one or ())][:1]
    return found


def of_rows_of_relation(read: Callable[[dlt.Relation], _R]) -> Callable[[dlt.Relation], _R]:
    """Wrap a function that reads the rows of a relation, so that it records which columns."""

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
    """Return the columns that a relation reads from the tables of its dataset."""
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
    """Return the columns that a query reads; it finds tables by their names, without a dataset.

    Args:
        query: The query; a text that is none, or cannot be parsed, reads nothing.
        dialect: The dialect of sqlglot.
        tables: The columns of each table.
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
    # SQL dialects change the case of names
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
            # `columns(*)`, or a row as a value
            return all_of_them
        for table in parsed.find_all(exp.Table):
            # without a prefix, so that all spellings name the same table
            table.set("db", None)
            table.set("catalog", None)
        # dlt's own columns, which every table may have
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
        # sqlglot does not understand it, so it may read anything
        return all_of_them
    return Read(frozenset(named), frozenset(everything - named))


def _without_stars(query: Any) -> Any:
    """Return a query without the stars in its last SELECT."""
    from sqlglot import exp

    if isinstance(query, exp.SetOperation):
        for side in ("this", "expression"):
            inner = query.args[side]
            # it may be in parentheses
            query.set(side, _without_stars(inner.unnest()))
        return query
    if isinstance(query, exp.Select):
        kept = [each for each in query.expressions if not each.is_star]
        query.set("expressions", kept or [exp.alias_(exp.Literal.number(1), "one")])
    return query
