"""Engine `dbt`: the models of a dbt project, built by dbt-duckdb in a process of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlglot
import yaml
from sqlglot import exp

from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.errors import EntityReferenceError, ProjectError
from dlthub_project.transformations.cache_database import literal
from dlthub_project.transformations.engines.dbt_command import Profile, build, find_dbt

if TYPE_CHECKING:
    from dlthub_project.entities import EntryPosition
    from dlthub_project.transformations.cache_database import CacheTables

# the database and schema that dbt sees, for each offer of the cache
_DATABASE = "dbt"
_SCHEMA = "cache"
_IDLE = "idle"
_CONFIG = re.compile(r"\bconfig\s*\((.*?)\)\s*-?}}", flags=re.DOTALL)
_ALIAS = re.compile(r"\balias\s*=\s*['\"](\w+)['\"]")
_EPHEMERAL = re.compile(r"\bmaterialized\s*=\s*['\"]ephemeral['\"]")


class DbtEngine:
    """Builds the dbt project in `transformations/<name>/`.

    dbt works in a new database each time, whose schema `cache` shows it the cache's tables.
    So dbt never appends to a model, and models see new loads only, as queries of engine `sql` do.
    dbt may be installed in another environment, because its dependencies may not agree with others.
    """

    def __init__(self, name: str, project_dir: str, position: EntryPosition) -> None:
        """Find the models; do not run dbt.

        Raises:
            EntityReferenceError: There is no dbt project, or it has no model.
            ProjectError: Its `dbt_project.yml` cannot be read.
        """
        self._name = name
        self._position = position
        self._folder = Path(project_dir, "transformations", name)
        self._models = _models(self._folder, position)

    def table_names(self) -> list[str]:
        return list(self._models)

    def make_tables(self, cache: CacheTables) -> None:
        command = find_dbt(self._position)
        # this folder stays: dbt parses only what has changed since, and users can read its logs
        work = cache.path.with_name(f"{cache.path.stem}-dbt") / self._name
        work.mkdir(parents=True, exist_ok=True)
        database = work / f"{_DATABASE}.duckdb"
        _remove(database)
        try:
            _show_inputs(cache, database)
            attached = {cache.path.stem: str(cache.path), **cache.attached}
            with _let_go(cache):
                profile = Profile(database, _SCHEMA, attached)
                nodes = build(command, self._folder, work, profile)
            self._take(cache, database, nodes)
        finally:
            _remove(database)

    def _take(self, cache: CacheTables, database: Path, nodes: list[dict[str, Any]]) -> None:
        """Copy the tables of the models into the cache."""
        cache.connection.execute(
            f"ATTACH {literal(str(database))} AS {quoted(_DATABASE)} (READ_ONLY)"
        )
        try:
            for node in nodes:
                table = node["alias"]
                if table.lower() not in (known.lower() for known in self._models):
                    raise ProjectError(
                        f"{self._folder / node['original_file_path']} makes table `{table}`, which "
                        "its name does not say.",
                        "Give its alias in the file itself: {{ config(alias='...') }}.",
                    )
                source = quoted(_DATABASE, node["schema"], table)
                cache.create(table, f"SELECT * FROM {source}")
        finally:
            cache.connection.execute(f"DETACH {quoted(_DATABASE)}")


def _models(folder: Path, position: EntryPosition) -> dict[str, Path]:
    """Return the files of the models that make tables, by table."""
    file = folder / "dbt_project.yml"
    if not file.is_file():
        raise EntityReferenceError(
            f"{position}: there is no {file}.",
            f"Make a dbt project there: `dbt init`, in {folder}.",
        )
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ProjectError(f"{file} cannot be read: {error}") from None
    models: dict[str, Path] = {}
    for name in settings.get("model-paths") or ["models"]:
        for path in sorted(Path(folder, name).rglob("*")):
            if path.suffix in (".sql", ".py") and (table := _table_of(path)):
                models[table] = path
    if not models:
        raise EntityReferenceError(
            f"{position}: {folder} has no model.", "Write one SELECT into models/<table>.sql."
        )
    return models


def _table_of(model: Path) -> str | None:
    """Return the table that a model makes; None if the model is ephemeral."""
    config = "".join(_CONFIG.findall(model.read_text(encoding="utf-8")))
    if _EPHEMERAL.search(config):
        return None
    alias = _ALIAS.search(config)
    return alias[1] if alias else model.stem


def _show_inputs(cache: CacheTables, database: Path) -> None:
    """Make the database for dbt, with the input tables of the cache."""
    connection = cache.connection
    connection.execute(f"ATTACH {literal(str(database))} AS {quoted(_DATABASE)}")
    try:
        connection.execute(f"CREATE SCHEMA {quoted(_DATABASE, _SCHEMA)}")
        for table in cache.inputs:
            # another process has no credentials to read the files: copy their rows
            kind = "TABLE" if _is_of_files(cache, table) else "VIEW"
            source = quoted(cache.path.stem, cache.schema, table)
            connection.execute(
                f"CREATE {kind} {quoted(_DATABASE, _SCHEMA, table)} AS SELECT * FROM {source}"
            )
    finally:
        connection.execute(f"DETACH {quoted(_DATABASE)}")


def _is_of_files(cache: CacheTables, table: str) -> bool:
    found = cache.connection.execute(
        "SELECT sql FROM duckdb_views() WHERE database_name = ? AND schema_name = ? "
        "AND view_name = ?",
        [cache.path.stem, cache.schema, table],
    ).fetchone()
    if found is None:
        return False
    query = sqlglot.parse_one(found[0], dialect="duckdb").expression
    return any(each.catalog not in cache.attached for each in query.find_all(exp.Table))


@contextmanager
def _let_go(cache: CacheTables) -> Iterator[None]:
    """Detach the cache's database in a block: DuckDB lets only one process have it."""
    own = quoted(cache.path.stem)
    connection = cache.connection
    connection.execute(f"ATTACH ':memory:' AS {_IDLE}")
    connection.execute(f"USE {_IDLE}")
    connection.execute(f"DETACH {own}")
    try:
        yield
    finally:
        connection.execute(f"ATTACH {literal(str(cache.path))} AS {own}")
        connection.execute(f"USE {quoted(cache.path.stem, cache.schema)}")
        connection.execute(f"DETACH {_IDLE}")


def _remove(database: Path) -> None:
    for path in (database, Path(f"{database}.wal")):
        path.unlink(missing_ok=True)
    shutil.rmtree(f"{database}.tmp", ignore_errors=True)
