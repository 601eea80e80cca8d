"""SQL that code executes on connections of its own: what it attaches is what the sandbox has.

`ATTACH '/data/prod.duckdb'` reads and writes a file as `duckdb.connect("/data/prod.duckdb")` does.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dlthub_project.sandbox import written_files
from dlthub_project.sandbox.settings import active_sandbox, lasting_sandboxes

_DUCKDB_METHODS = ("execute", "executemany", "extract_statements", "from_query", "query", "sql")
_BEFORE = r"\battach\s+(?:or\s+replace\s+)?(?:database\s+)?(?:if\s+not\s+exists\s+)?"
_TEXT = re.compile(rf"({_BEFORE})('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")", re.IGNORECASE)
# SQLite takes the path as a parameter
_PARAMETER = re.compile(rf"{_BEFORE}(?:\?|[:@$](\w+))", re.IGNORECASE)
_WRITERS = ("to_csv", "to_parquet", "write_csv", "write_parquet")
_MARK = "is_of_dlt"

InItsPlace = Callable[[Any], Any]
"""Returns where a sandbox has a file, by its path; the path itself where it has none."""

# connections of DuckDB that are those of dlt's clients; code may take them
_of_dlt: weakref.WeakSet[Any] = weakref.WeakSet()


def mark_as_of_dlt(connection: Any, *_others: Any) -> None:
    """Have what code executes on a client's connection checked as the client's own SQL is."""
    if isinstance(connection, sqlite3.Connection) and hasattr(connection, "__dict__"):
        # of the class below: one that was opened before any sandbox is not
        vars(connection)[_MARK] = True
    elif type(connection).__name__ == "DuckDBPyConnection":
        _of_dlt.add(connection)


def _is_of_dlt(connection: Any) -> bool:
    return connection in _of_dlt or getattr(connection, _MARK, False)


def lead_duckdb(duckdb: Any, in_its_place: InItsPlace) -> dict[int, Any]:
    """Wrap what executes SQL in DuckDB; return what stands for its functions, by their ids."""
    replaced = {}
    for owner, start in ((duckdb.DuckDBPyConnection, 1), (duckdb, 0)):
        for name in _DUCKDB_METHODS:
            original = getattr(owner, name)
            led = _executing(original, start, in_its_place)
            setattr(owner, name, led)
            replaced[id(original)] = led
    for name in ("cursor", "duplicate"):
        setattr(
            duckdb.DuckDBPyConnection, name, _handing_on(getattr(duckdb.DuckDBPyConnection, name))
        )
    for name in _WRITERS:
        relation = duckdb.DuckDBPyRelation
        setattr(relation, name, _writing(getattr(relation, name)))
    return replaced


def _executing(original: Callable[..., Any], start: int, in_its_place: InItsPlace) -> Any:
    @functools.wraps(original)
    def executed(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        sql = args[start] if len(args) > start else named.get("query")
        # what `extract_statements` returns has its text
        sql = sql if isinstance(sql, str) else getattr(sql, "query", None)
        connection = args[0] if start else named.get("connection")
        if sql and written_files.may_write(sql) and active_sandbox() is not None:
            if len(args) > start:
                values = args[start + 1 :]
                args = (*args[:start], *_led(connection, (sql, *values), in_its_place))
            else:
                (named["query"],) = _led(connection, (sql,), in_its_place)
        made = original(*args, **named)
        if made is not connection and connection in _of_dlt and hasattr(made, _WRITERS[0]):
            # a relation, which can write, too
            _of_dlt.add(made)
        return made

    return executed


def _handing_on(original: Callable[..., Any]) -> Any:
    @functools.wraps(original)
    def made(connection: Any) -> Any:
        other = original(connection)
        if connection in _of_dlt:
            _of_dlt.add(other)
        return other

    return made


def _writing(original: Callable[..., Any]) -> Any:
    @functools.wraps(original)
    def written(relation: Any, file_name: str, *args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        if active_sandbox() is not None:
            # one that is made of another is of no known connection
            _check(relation, [str(file_name)])
        return original(relation, file_name, *args, **named)

    return written


def lead_sqlite(in_its_place: InItsPlace) -> type[sqlite3.Connection]:
    """Return the class of connections of SQLite that attach what the sandbox has."""

    def led(connection: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        __tracebackhide__ = True
        if not (isinstance(args[0], str) and written_files.may_write(args[0])):
            return args
        return args if active_sandbox() is None else _led(connection, args, in_its_place)

    class Cursor(sqlite3.Cursor):
        def execute(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().execute(*led(self.connection, args))

        def executescript(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().executescript(*led(self.connection, args))

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().execute(*led(self, args))

        def executescript(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().executescript(*led(self, args))

    return Connection


def _led(connection: Any, args: Sequence[Any], in_its_place: InItsPlace) -> tuple[Any, ...]:
    """Return a statement and its parameters, with the paths of a sandbox in `ATTACH`."""
    __tracebackhide__ = True
    sql, *others = args

    def text(match: re.Match[str]) -> str:
        before, quoted = match.groups()
        mark = quoted[0]
        path = quoted[1:-1].replace(mark * 2, mark)
        here = in_its_place(path)
        return match[0] if here == path else f"{before}{mark}{here.replace(mark, mark * 2)}{mark}"

    sql, values = _TEXT.sub(text, sql), ()
    if others and (found := _PARAMETER.search(sql)):
        others[0] = _parameters(others[0], found[1], in_its_place)
        values = _values(others[0], found[1])
    _check(connection, written_files.files_written(sql, values))
    return (sql, *others)


def _parameters(given: Any, name: str | None, in_its_place: InItsPlace) -> Any:
    if isinstance(given, Mapping) and name in given:
        return {**given, name: in_its_place(given[name])}
    if isinstance(given, list | tuple) and given:
        return [in_its_place(given[0]), *given[1:]]
    return given


def _values(given: Any, name: str | None) -> tuple[Any, ...]:
    """Return the values of parameters, that of the file first."""
    if isinstance(given, Mapping):
        return (given[name],) if name in given else ()
    return tuple(given) if isinstance(given, list | tuple) else ()


def _check(connection: Any, files: Iterable[str]) -> None:
    """Refuse what writes into a folder that the sandbox has in its own place.

    On a connection of dlt's, whatever is outside of it.
    """
    __tracebackhide__ = True
    from dlthub_project.sandbox import declared_files, guard, local_files

    sandboxes = lasting_sandboxes()
    if _is_of_dlt(connection):
        guard.check_files(files, *sandboxes)
        return
    for written in files:
        if "://" in written or any(sandbox.is_local_path(written) for sandbox in sandboxes):
            continue
        if local_files.is_brought_in(written, *sandboxes) or declared_files.is_declared(written):
            raise guard.blocked_statement(written)
