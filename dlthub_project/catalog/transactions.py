"""One transaction for all that a load does in a DuckDB or PostgreSQL database.

dlt loads a package in many transactions: of the schema, of each job, of each merge, of the entry in
`_dlt_loads`. Here its clients share one connection, and the database commits all of it or nothing,
also when the process is killed. Both databases make tables and columns in transactions, too.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dlt.destinations.exceptions import DatabaseTerminalException, DatabaseUndefinedRelation

from dlthub_project.catalog.conflicts import open_patiently

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination

# where tables and columns are made in transactions, and this was tried
_DUCKDB, _POSTGRES = ("duckdb", "motherduck"), ("postgres",)


def can_share_transaction(where: JobClientBase | AnyDestination) -> bool:
    """Tell whether a database makes tables in a transaction as well as rows."""
    return _type_of(where).endswith((*_DUCKDB, *_POSTGRES))


def is_postgres(where: JobClientBase | AnyDestination) -> bool:
    """Tell whether a database is one of PostgreSQL."""
    return _type_of(where).endswith(_POSTGRES)


def _type_of(where: Any) -> str:
    return str(getattr(where, "config", where).destination_type)


class SharedTransaction:
    """The connection that all clients of one destination use while it is begun."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: Any = None
        self._error: BaseException | None = None

    @property
    def connection(self) -> Any:
        """The open connection; None before it is begun and after its end."""
        return None if self._owner is None else _Kept(self._owner._conn)

    def join(self, client: JobClientBase) -> None:
        """Have a client, which is not connected, use the transaction whenever it is begun."""
        sql: Any = client.sql_client  # type: ignore[attr-defined]  # of SQL destinations
        kind: Any = type(sql)
        sql.__class__ = _joined(kind)
        sql.transaction = self

    @contextmanager
    def begun(self, client: JobClientBase) -> Iterator[None]:
        """Commit at the end of a block, or roll back where it raises or a statement has failed.

        Args:
            client: A client of the destination, which has joined.

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
        """Refuse to go on where a statement has failed.

        Raises:
            DatabaseTerminalException: One has.
        """
        if self._error is not None:
            failed = f"a statement before it has failed: {self._error}"
            raise DatabaseTerminalException(RuntimeError(failed)) from self._error

    @contextmanager
    def statement(self, query: Any = None) -> Iterator[None]:
        """Run a block of statements, one block at a time; what it raises ends the transaction.

        Args:
            query: The statement, where it is one. dlt asks some tables whether they are there: that
                they are not ends nothing.
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
        return hasattr(self._owner._conn, "autocommit")

    def _execute(self, statement: str, *parameters: Any) -> None:
        with self._owner._conn.cursor() as cursor:
            cursor.execute(statement, parameters)

    def _begin(self) -> None:
        if self._is_postgres:
            self._owner._conn.autocommit = False
            # saves on other machines wait for their turn; it is given back at the end
            key = zlib.crc32(self._owner.dataset_name.encode())
            self._execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK_SPACE, _signed(key))
        else:
            self._owner._conn.begin()


# tells our advisory locks from others
_LOCK_SPACE = 0x5A7E


def _signed(key: int) -> int:
    return key - (1 << 32) if key >= 1 << 31 else key


def _roll_back(owner: Any) -> None:
    try:
        owner.rollback_transaction()
    except Exception as error:
        # the database has done so itself, or is gone
        if not owner.is_dbapi_exception(error.__cause__ or error):
            raise


@lru_cache(maxsize=8)
def _joined(client_class: Any) -> Any:
    """Return a subclass of dlt's SQL client: an instance of the one can become one of the other."""

    class Joined(client_class):  # type: ignore[misc]  # one of several
        transaction: SharedTransaction

        def open_connection(self) -> Any:
            if (shared := self.transaction.connection) is None:
                return open_patiently(super().open_connection)
            self._conn = shared
            return shared

        def close_connection(self) -> None:
            if self.transaction.connection is None:
                super().close_connection()
            else:
                self._conn = None

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
    """A connection whose transaction does not end where dlt would end one of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Leave it to the end."""

    begin = rollback = reset = close = commit
