"""SQL that code executes on connections of its own: what it attaches is what the sandbox has.

`ATTACH '/data/prod.duckdb'` reads and writes a file as `duckdb.connect("/data/prod.duckdb")` does.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlthub_project.sandbox.settings import active_sandbox, lasting_sandboxes

_DUCKDB_METHODS = ("execute", "executemany", "extract_statements", "from_query", "query", "sql")
_BEFORE = r"\battach\s+(?:or\s+replace\s+)?(?:database\s+)?(?:if\s+not\s+exists\s+)?"
_TEXT = re.compile(rf"({_BEFORE})('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")", re.IGNORECASE)
# SQLite takes the path as a parameter
_PARAMETER = re.compile(rf"{_BEFORE}(?:\?|[:@$](\w+))", re.IGNORECASE)
_OF_INTEREST = ("attach", "copy", "export")
# such statements are short, and a batch that inserts may have megabytes
_LONGEST = 10_000

InItsPlace = Callable[[Any], Any]
"""Returns where a sandbox has a file, by its path; the path itself where it has none."""


def lead_duckdb(duckdb: Any, in_its_place: InItsPlace) -> dict[int, Any]:
    """Wrap what executes SQL in DuckDB; return what stands for its functions, by their ids."""
    replaced = {}
    for owner, start in ((duckdb.DuckDBPyConnection, 1), (duckdb, 0)):
        for name in _DUCKDB_METHODS:
            original = getattr(owner, name)
            led = _executing(original, start, in_its_place)
            setattr(owner, name, led)
            replaced[id(original)] = led
    return replaced


def _executing(original: Callable[..., Any], start: int, in_its_place: InItsPlace) -> Any:
    @functools.wraps(original)
    def executed(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        if len(args) > start:
            args = (*args[:start], *_led(args[start:], in_its_place))
        elif "query" in named:
            (named["query"],) = _led((named["query"],), in_its_place)
        return original(*args, **named)

    return executed


def lead_sqlite(in_its_place: InItsPlace) -> type[sqlite3.Connection]:
    """Return the class of connections of SQLite that attach what the sandbox has."""

    class Cursor(sqlite3.Cursor):
        def execute(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().execute(*_led(args, in_its_place))

        def executescript(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().executescript(*_led(args, in_its_place))

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().execute(*_led(args, in_its_place))

        def executescript(self, *args: Any) -> Any:
            __tracebackhide__ = True
            return super().executescript(*_led(args, in_its_place))

    return Connection


def _led(args: Sequence[Any], in_its_place: InItsPlace) -> tuple[Any, ...]:
    """Return a statement and its parameters, with the paths of a sandbox in `ATTACH`."""
    __tracebackhide__ = True
    sql, *others = args
    if not isinstance(sql, str) or active_sandbox() is None:
        return tuple(args)
    beginning = sql[:_LONGEST].lower()
    if not any(word in beginning for word in _OF_INTEREST):
        return tuple(args)

    def text(match: re.Match[str]) -> str:
        before, quoted = match.groups()
        mark = quoted[0]
        path = quoted[1:-1].replace(mark * 2, mark)
        here = in_its_place(path)
        return match[0] if here == path else f"{before}{mark}{here.replace(mark, mark * 2)}{mark}"

    sql = _TEXT.sub(text, sql)
    if others and (found := _PARAMETER.search(sql)):
        others[0] = _parameters(others[0], found[1], in_its_place)
    _check_writes(sql)
    return (sql, *others)


def _parameters(given: Any, name: str | None, in_its_place: InItsPlace) -> Any:
    if isinstance(given, Mapping) and name in given:
        return {**given, name: in_its_place(given[name])}
    if isinstance(given, list | tuple) and given:
        return [in_its_place(given[0]), *given[1:]]
    return given


def _check_writes(sql: str) -> None:
    """Refuse to write into a folder that the sandbox has in its own place."""
    __tracebackhide__ = True
    if "dlthub_project.sandbox.local_files" not in sys.modules:
        # nothing has been brought in
        return
    from dlthub_project.dlt_internals import sql_clients
    from dlthub_project.sandbox import guard, local_files

    sandboxes = lasting_sandboxes()
    for written in sql_clients.files_written(sql):
        if "://" not in written and local_files.is_brought_in(written, *sandboxes):
            raise guard.blocked_statement(written)
