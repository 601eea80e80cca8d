"""Engine `sql`: the queries of a folder, one table a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dlthub_project.errors import EntityReferenceError, ProjectError, known_names
from dlthub_project.transformations.queries import tables_read

if TYPE_CHECKING:
    from dlthub_project.entities import EntryPosition
    from dlthub_project.transformations.cache_database import CacheTables


@dataclass(frozen=True)
class _Query:
    """One file.

    Attributes:
        file: Its path.
        text: The query, without a semicolon.
        reads: The tables that it names, by their names in lower case: DuckDB ignores case.
    """

    file: Path
    text: str
    reads: dict[str, str]


class SqlEngine:
    """Runs the queries of `transformations/<name>/*.sql`, each after the queries that it reads.

    A file holds one query in DuckDB's SQL. The name of the file is the name of the table.
    """

    def __init__(self, name: str, project_dir: str, position: EntryPosition) -> None:
        """Read the files.

        Raises:
            EntityReferenceError: There is none.
            ProjectError: One is no query, or they read each other in a circle.
        """
        folder = Path(project_dir, "transformations", name)
        files = sorted(folder.glob("*.sql"))
        if not files:
            raise EntityReferenceError(
                f"{position}: there is no .sql file in {folder}.",
                "Write one SELECT of DuckDB into <table>.sql for each table.",
            )
        self._queries: dict[str, _Query] = {}
        for file in files:
            if same := self._queries.get(file.stem.lower()):
                raise ProjectError(
                    f"{same.file} and {file} make one table: DuckDB's names have no case.",
                    "Rename one of them.",
                )
            self._queries[file.stem.lower()] = _read(file)
        self._order = self._in_order()

    def table_names(self) -> list[str]:
        return [query.file.stem for query in self._order]

    def make_tables(self, cache: CacheTables) -> None:
        known = {*(table.lower() for table in cache.inputs), *self._queries}
        for query in self._order:
            for lowered, name in query.reads.items():
                if lowered not in known:
                    raise ProjectError(
                        f"{query.file} reads `{name}`, which is neither a table of the cache's "
                        "inputs nor another file's.",
                        known_names(name, [*cache.inputs, *self.table_names()]),
                    )
        for query in self._order:
            _run(query, cache)

    def _in_order(self) -> list[_Query]:
        ordered: dict[str, _Query] = {}

        def add(name: str, readers: tuple[str, ...]) -> None:
            if name in readers:
                circle = [*readers[readers.index(name) :], name]
                files = " -> ".join(self._queries[each].file.name for each in circle)
                raise ProjectError(
                    f"{self._queries[name].file.parent}: files read each other in a circle: "
                    f"{files}.",
                    "Take one of these references out.",
                )
            if name in ordered:
                return
            for read in self._queries[name].reads:
                if read in self._queries:
                    add(read, (*readers, name))
            ordered[name] = self._queries[name]

        for name in self._queries:
            add(name, ())
        return list(ordered.values())


def _run(query: _Query, cache: CacheTables) -> None:
    try:
        cache.create(query.file.stem, query.text)
    except duckdb.Error as error:
        raise ProjectError(f"{query.file}: {error}") from error


def _read(file: Path) -> _Query:
    text = file.read_text(encoding="utf-8")
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise ProjectError(f"{file}: {error}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ProjectError(
            f"{file} does not hold one query.", "Write one SELECT of DuckDB into it, and no more."
        )
    query = statements[0].query.strip().removesuffix(";")
    return _Query(file, query, _tables_in(query, file))


def _tables_in(query: str, file: Path) -> dict[str, str]:
    """Return the tables that a query reads by name, without CTEs, files and table functions."""
    try:
        tables = tables_read(sqlglot.parse_one(query, dialect="duckdb"))
    except SqlglotError as error:
        raise ProjectError(f"{file}: {error}") from error
    return {
        table.name.lower(): table.name for table in tables if not table.db and not _is_file(table)
    }


def _is_file(table: exp.Table) -> bool:
    # DuckDB reads `FROM 'rates.csv'` from the current folder
    return "." in table.name
