"""The errors of databases that somebody else writes to at the same time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from dlt.pipeline.exceptions import PipelineStepFailed

# a reader closes its connection within a second; a load may take longer
_PATIENCE_SECONDS = 30.0

# messages of DuckDB
_IN_USE = (
    # another process has the file
    "Could not set lock on file",
    # this process has it: another thread opens or closes the file, or has it with other settings
    "Unique file handle conflict",
    "Can't open a connection to same database file with a different configuration",
)

Connection = TypeVar("Connection")


def open_patiently(open_connection: Callable[[], Connection]) -> Connection:
    """Open a connection, and wait up to 30 seconds while another process has the database file."""
    try:
        return open_connection()
    except Exception as error:
        if not _is_file_in_use(error):
            raise
    import tenacity

    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_file_in_use),
        stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
        # random, because processes that collide once would collide again
        wait=tenacity.wait_random_exponential(multiplier=0.02, max=0.5),
        reraise=True,
    )
    return patient(open_connection)


def connect_patiently(client: Any) -> None:
    """Make a client, or SQL client, of DuckDB wait for its file as `open_patiently` does."""
    sql = getattr(client, "sql_client", client)
    is_duckdb = any(".duckdb." in base.__module__ for base in type(sql).__mro__)
    if is_duckdb and "open_connection" not in vars(sql):
        vars(sql)["open_connection"] = partial(open_patiently, sql.open_connection)


def is_conflict(error: BaseException) -> bool:
    """Tell whether an error has its cause in others that use the database at the same time."""
    return any(_is_file_in_use(link) or _is_conflict_of_writers(link) for link in _chain(error))


def _is_file_in_use(error: BaseException) -> bool:
    message = str(error)
    return any(text in message for text in _IN_USE)


def _is_conflict_of_writers(error: BaseException) -> bool:
    if isinstance(error, _classes("duckdb", "TransactionException")):
        return True
    of_postgres = ("DuplicateTable", "DuplicateSchema", "DuplicateColumn", "DeadlockDetected")
    further = ("LockNotAvailable", "SerializationFailure")
    if isinstance(error, _classes("psycopg2.errors", *of_postgres, *further)):
        return True
    # two writers made one table or schema at the same moment
    return isinstance(error, _classes("psycopg2.errors", "UniqueViolation")) and "pg_" in str(error)


def _classes(module: str, *names: str) -> tuple[type, ...]:
    # a driver that nobody has loaded raised nothing: do not load it to ask
    loaded = sys.modules.get(module)
    return tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))


def _chain(error: BaseException) -> Iterator[BaseException]:
    links: list[Any] = [error]
    seen: set[int] = set()
    while links:
        link = links.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            inner = link.exception if isinstance(link, PipelineStepFailed) else None
            links += [link.__cause__, link.__context__, inner]
