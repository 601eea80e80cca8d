"""One transaction for a whole load into a DuckDB or PostgreSQL database.

dlt loads a package in many transactions: one for the schema, one for each job and each merge, and
one for the entry in `_dlt_loads`. Here all clients share one connection, and the database commits
everything or nothing, even if the process is killed. Both databases create tables and columns in
transactions, too.

Whoever else has the database open meanwhile is in the way: connections wait for its file, and the
errors of a conflict are told from others.
"""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from dlt.destinations.exceptions import DatabaseTerminalException, DatabaseUndefinedRelation
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals import sql_clients
from dlthub_project.errors import causes

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination

# these create tables and columns in transactions, and were tried
_DUCKDB, _POSTGRES = ("duckdb", "motherduck"), ("postgres",)


def can_share_transaction(database: JobClientBase | AnyDestination) -> bool:
    """Tell whether a database creates tables in a transaction, as it does rows."""
    return _destination_type(database).endswith((*_DUCKDB, *_POSTGRES))


def is_postgres(database: JobClientBase | AnyDestination) -> bool:
    """Tell whether a database is one of PostgreSQL."""
    return _destination_type(database).endswith(_POSTGRES)


def _destination_type(database: Any) -> str:
    return str(getattr(database, "config", database).destination_type)


class SharedTransaction:
    """A transaction that all clients of one destination take part in."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: Any = None
        self._error: BaseException | None = None

    @property
    def connection(self) -> Any:
        """The connection; None before the transaction begins and after it ends."""
        return None if self._owner is None else _Kept(self._owner.native_connection)

    def join(self, client: JobClientBase) -> None:
        """Let a client, which is not connected yet, take part in the transaction when it begins."""
        sql: Any = client.sql_client  # type: ignore[attr-defined]  # of SQL destinations
        kind: Any = type(sql)
        sql.__class__ = _joined(kind)
        sql.transaction = self

    @contextmanager
    def begun(self, client: JobClientBase) -> Iterator[None]:
        """Commit at the end of a block; roll back if it raises or a statement has failed.

        Args:
            client: A client that has joined. The others use its connection.

        Raises:
            DatabaseTerminalException: The block went on after a statement had failed.
        """
        owner: Any = client.sql_client  # type: ignore[attr-defined]  # as above
        owner.open_connection()
        try:
            self._owner, self._error = owner, None
            try:
                self._begin()
                yield
                self.check()
            except BaseException:
                _roll_back(owner)
                raise
            owner.commit_transaction()
        finally:
            self._owner = None
            owner.close_connection()

    def check(self) -> None:
        """Refuse to go on after a statement has failed.

        Raises:
            DatabaseTerminalException: A statement has failed.
        """
        if self._error is not None:
            failed = f"a statement before it has failed: {self._error}"
            raise DatabaseTerminalException(RuntimeError(failed)) from self._error

    @contextmanager
    def statement(self, query: Any = None) -> Iterator[None]:
        """Run a block of statements, one block at a time. An error in it ends the transaction.

        Args:
            query: The statement, if the block is a single one. dlt queries some tables to see
                whether they exist: a SELECT from a missing table does not end the transaction.
        """
        with self._lock:
            self.check()
            is_question = isinstance(query, str) and query.lstrip()[:6].upper() == "SELECT"
            if is_question and self._is_postgres:
                self._execute("SAVEPOINT dlt_question")
            try:
                yield
            except DatabaseUndefinedRelation as error:
                if not is_question:
                    self._error = error
                elif self._is_postgres:
                    self._execute("ROLLBACK TO SAVEPOINT dlt_question")
                raise
            except BaseException as error:
                self._error = error
                raise

    @property
    def _is_postgres(self) -> bool:
        return hasattr(self._owner.native_connection, "autocommit")

    def _execute(self, statement: str, *parameters: Any) -> None:
        with self._owner.native_connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def _begin(self) -> None:
        if self._is_postgres:
            self._owner.native_connection.autocommit = False
            # saves on other machines wait for this lock; the end of the transaction releases it
            key = zlib.crc32(self._owner.dataset_name.encode())
            self._execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK_SPACE, _signed(key))
        else:
            self._owner.native_connection.begin()


# tells our advisory locks from those of others
_LOCK_SPACE = 0x5A7E


def _signed(key: int) -> int:
    return key - (1 << 32) if key >= 1 << 31 else key


def _roll_back(owner: Any) -> None:
    try:
        owner.rollback_transaction()
    except Exception as error:
        # the database has rolled back already, or is gone
        if not owner.is_dbapi_exception(error.__cause__ or error):
            raise


@lru_cache(maxsize=8)
def _joined(client_class: Any) -> Any:
    """Return a subclass of a class of dlt's SQL clients, for `__class__` of its instances."""

    class Joined(client_class):  # type: ignore[misc]  # one of several
        transaction: SharedTransaction

        def open_connection(self) -> Any:
            if (shared := self.transaction.connection) is None:
                return open_patiently(super().open_connection)
            sql_clients.use_connection(self, shared)
            return shared

        def close_connection(self) -> None:
            if self.transaction.connection is None:
                super().close_connection()
            else:
                sql_clients.use_connection(self, None)

        @contextmanager
        def begin_transaction(self) -> Iterator[Any]:
            shared = self.transaction
            own = super().begin_transaction
            with own() if shared.connection is None else shared.statement():
                yield self

        @contextmanager
        def execute_query(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            shared = self.transaction
            turn = nullcontext() if shared.connection is None else shared.statement(query)
            with turn, super().execute_query(query, *args, **kwargs) as cursor:
                yield cursor

    Joined.__name__ = client_class.__name__
    return Joined


class _Kept:
    """A connection whose transaction does not end when dlt ends one of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Do nothing: the shared transaction commits at its own end."""

    begin = rollback = reset = close = commit


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
    links = causes(error, "beside", held=_failure_of_step)
    return any(_is_file_in_use(link) or _is_conflict_of_writers(link) for link in links)


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


def _failure_of_step(error: BaseException) -> BaseException | None:
    return error.exception if isinstance(error, PipelineStepFailed) else None
