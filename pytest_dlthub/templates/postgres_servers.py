"""PostgreSQL servers: makes, copies and drops databases, with the user's own credentials."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from pytest_dlthub.activation import SESSION
from pytest_dlthub.session_folder import real_time
from pytest_dlthub.templates.store import session_identity

_SERVERS = pytest.StashKey[dict[str, str]]()
_NODES = pytest.StashKey[list[Any]]()
# a worker's message to its controller: in memory, never in a file
_OUTPUT = "dlt_postgres_servers"

# the first digits of a key, the time of creation, the session, and a random suffix
_OURS = re.compile(r"dlt_(?:load|template|copy)_[0-9a-f]{8}_(\d+)_([0-9a-f]{8})_[0-9a-f]{8}")
_OURS_IN_SQL = "SELECT datname FROM pg_database WHERE datname ~ '^dlt_(load|template|copy)_'"
_OLD_SECONDS = 24 * 3600
_HAS_FORCE = 13_00_00
_INSTEAD = (
    "Or do without dlt_load: load once in a fixture of your own, with dlt_project_factory, into "
    "one database for all tests."
)


class TemplateGone(Exception):
    """The template database does not exist any more."""


class Server:
    """A PostgreSQL server, reached with the configuration of a destination."""

    def __init__(self, credentials: Any, destination: str) -> None:
        """Create the server.

        Args:
            credentials: dlt's resolved credentials.
            destination: The name of their destination.
        """
        self._credentials = credentials
        self.destination = destination

    @property
    def place(self) -> tuple[str, int, str]:
        """Host, port, and the database in the destination's configuration."""
        given = self._credentials
        return given.host, given.port, given.database

    @property
    def url(self) -> str:
        """The URL of the destination's configuration, with the password."""
        return str(self._credentials.to_native_representation())

    def url_of(self, database: str) -> str:
        """Return the URL of another database of the server, with the password."""
        there = self._credentials.copy()
        there.database = database
        return str(there.to_native_representation())

    def create(self, database: str) -> None:
        """Make a database, and drop those that killed sessions left more than a day ago.

        Raises:
            Failed: The server refuses to make it.
        """
        with self._told(f"make the database {database}"), _cursor(self.url) as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')
            _drop_old(cursor)

    def close(self, database: str, name: str) -> None:
        """Turn a database into a template under a new name, so that nobody can connect to it.

        Raises:
            Failed: The server refuses, or somebody is still connected after five seconds.
        """
        with self._told(f"close the database {database}"), _cursor(self.url) as cursor:
            # here and not before each copy, since it waits for open connections as copying does
            cursor.execute(f'ALTER DATABASE "{database}" RENAME TO "{name}"')
            cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')

    def copy(self, template: str, database: str) -> None:
        """Copy a database.

        Raises:
            TemplateGone: The template does not exist.
            Failed: The server refuses to copy it.
        """
        with self._told(f"copy the database {template}"), _cursor(self.url) as cursor:
            try:
                cursor.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
            except _psycopg2().errors.InvalidCatalogName:
                raise TemplateGone(f"the database {template} is gone") from None

    def drop(self, database: str) -> None:
        """Drop a database of ours; if the server refuses, a session drops it a day later."""
        with contextlib.suppress(_psycopg2().Error), _cursor(self.url) as cursor:
            _drop(cursor, database)

    @contextlib.contextmanager
    def _told(self, attempt: str) -> Iterator[None]:
        """Turn an error into a message with destination, attempt and remedy; hide the password."""
        try:
            yield
        except _psycopg2().Error as error:
            raise cannot_load(self._failure(attempt, error)) from None

    def _failure(self, attempt: str, error: Any) -> str:
        errors = _psycopg2().errors
        host, port, database = self.place
        user = self._credentials.username
        attempt = f"{attempt} on {host}:{port}"
        remedy = _INSTEAD
        if error.pgcode is None:
            attempt = f"reach {host}:{port}/{database} as {user}"
            remedy = (
                f"Start the server, or mend the credentials of `{self.destination}`: those in the "
                "fixture dlt_destinations, or in the test profile."
            )
        elif isinstance(error, errors.InsufficientPrivilege):
            remedy = f'Allow it: ALTER ROLE "{user}" CREATEDB. {_INSTEAD}'
        elif isinstance(error, errors.ObjectInUse):
            remedy = f"Have your code close its connections when it has loaded. {_INSTEAD}"
        told = self._without_password(str(error)).rstrip(".?")
        return f"destination `{self.destination}` (postgres): cannot {attempt}: {told}. {remedy}"

    def _without_password(self, text: str) -> str:
        given = self._credentials
        password = str(given.password or "")
        shown_anyway = {"", given.username, given.host, given.database}
        for spelling in {password, quote(password, safe=""), quote_plus(password)} - shown_anyway:
            text = text.replace(spelling, "***")
        return " ".join(text.split())

    def __repr__(self) -> str:
        return "<Server {}:{}/{}>".format(*self.place)


def cannot_load(message: str) -> BaseException:
    """Return the error for a database that cannot be made or copied.

    pytest shows it without frames: they contain credentials, and no code of the user.
    """
    return pytest.fail.Exception(f"dlt_load: {message}", pytrace=False)


def new_name(kind: str, key: str, config: pytest.Config) -> str:
    """Return the name of a new database for a `load`, a `template` or a `copy`."""
    made, token = int(real_time(config.stash[SESSION].folder)), _token(config)
    return f"dlt_{kind}_{key[:8]}_{made}_{token}_{secrets.token_hex(4)}"


def drop_at_end(server: Server, config: pytest.Config) -> None:
    """Note that this session's databases on `server` must be dropped when the session ends.

    The session's process drops them; with workers it is the controller, which outlives them.

    Raises:
        Failed: The driver is not installed. Then nothing is made either.
    """
    _psycopg2()
    of_session = config.stash.setdefault(_SERVERS, {})
    of_session[server.url] = _token(config)
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = of_session


def listen_to(node: Any) -> None:
    """Take over the databases of a worker, to drop them when the session ends."""
    node.config.stash.setdefault(_NODES, []).append(node)


def drop_databases(config: pytest.Config) -> None:
    """Drop the databases of a session that ends, but not in a worker: others may need them."""
    if hasattr(config, "workeroutput"):
        return
    own = config.stash.get(_SERVERS, None)
    found = dict(own or {})
    for node in config.stash.get(_NODES, ()):
        # a worker that crashed has sent nothing
        found.update(getattr(node, "workeroutput", {}).get(_OUTPUT, {}))
    for url, token in found.items():
        # the tests may have started this server, and stopped it
        with contextlib.suppress(_psycopg2().Error), _cursor(url) as cursor:
            for name, _, of_session in _ours(cursor):
                if of_session == token:
                    _drop(cursor, name)


def _token(config: pytest.Config) -> str:
    return hashlib.blake2b(session_identity(config).encode(), digest_size=4).hexdigest()


def _ours(cursor: Any) -> list[tuple[str, int, str]]:
    """Return our databases, with the time of creation and the session of each."""
    cursor.execute(_OURS_IN_SQL)
    found = (_OURS.fullmatch(name) for (name,) in cursor.fetchall())
    return [(match[0], int(match[1]), match[2]) for match in found if match]


def _drop(cursor: Any, database: str) -> None:
    force = " WITH (FORCE)" if cursor.connection.server_version >= _HAS_FORCE else ""
    cursor.execute(f'DROP DATABASE IF EXISTS "{database}"{force}')


def _drop_old(cursor: Any) -> None:
    # by the server's clock, since a test may have set the clock of this process
    cursor.execute("SELECT extract(epoch FROM now())")
    ((now,),) = cursor.fetchall()
    for name, made, _ in _ours(cursor):
        if now - made > _OLD_SECONDS:
            # it may be another user's, or in use after all: so without force
            with contextlib.suppress(_psycopg2().Error):
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')


@contextlib.contextmanager
def _cursor(url: str) -> Iterator[Any]:
    """Connect for a block: we hold no connection while the user's code runs."""
    connection = _psycopg2().connect(url)
    try:
        # PostgreSQL makes no databases in transactions
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _psycopg2() -> ModuleType:
    """Import the driver, which dlt's postgres destination also needs.

    Raises:
        Failed: It is not installed.
    """
    try:
        import psycopg2  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise cannot_load(
            f"to copy a PostgreSQL, psycopg2 is needed: {error}. "
            'Install it: pip install "dlt[postgres]".'
        ) from None
    driver: ModuleType = psycopg2
    return driver
