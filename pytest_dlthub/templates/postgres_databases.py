"""Loads into PostgreSQL: into a database of the template, which each test copies.

Other people have data where an allowed destination is. So the loads of a mark go into a new
database on the same server, and the destination in a test's sandbox is a copy of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination import Destination

from dlthub_project.sandbox import Sandbox, is_allowed, move_destinations, placed_by_plugin
from pytest_dlthub.templates.digests import digest
from pytest_dlthub.templates.load_marks import Load
from pytest_dlthub.templates.postgres_servers import (
    Server,
    TemplateGone,
    cannot_load,
    drop_at_end,
    new_name,
)
from pytest_dlthub.templates.template import Damaged

if TYPE_CHECKING:
    import pytest
    from dlt.common.destination.reference import AnyDestination

_RECORD = "postgres.json"
_TYPE = "destination_type"
_NEEDED = ("host", "database", "username", "password")


@dataclass(frozen=True)
class _Place:
    """A database of one or more destinations.

    Attributes:
        server: The server of the database.
        destinations: The names of the destinations.
    """

    server: Server
    destinations: tuple[str, ...]


class Databases:
    """The PostgreSQL databases for the loads of one test; false if there are none.

    As a context manager, it drops the copies at its end, and puts the sandbox back.
    """

    def __init__(
        self, places: Sequence[_Place], key: str, sandbox: Sandbox, config: pytest.Config
    ) -> None:
        self._places = places
        self._sandbox = sandbox
        self._config = config
        self._copies: list[tuple[Server, str]] = []
        # a template belongs to one server
        self.key = (
            digest(key, [(p.server.place, p.destinations) for p in places]) if places else key
        )

    @classmethod
    def of(
        cls, loads: Iterable[Load], key: str, sandbox: Sandbox, config: pytest.Config
    ) -> Databases:
        """Find the databases that loads go into.

        Args:
            loads: The loads.
            key: Their key; this adds the places of the databases to it.
            sandbox: The sandbox of the test, which is active.
            config: The configuration of the session.

        Raises:
            Failed: The configuration of a database is incomplete.
        """
        return cls(list(_places_of(loads, sandbox)), key, sandbox, config)

    def __bool__(self) -> bool:
        return bool(self._places)

    @contextmanager
    def made_for(self, folder: Path, sandbox: Sandbox) -> Iterator[Sandbox]:
        """Give a block a sandbox with new databases to load into.

        If the block fails, they are dropped.

        Args:
            folder: The folder of the new template.
            sandbox: Its sandbox, which is not active yet.

        Raises:
            Failed: The server refuses to make a database.
        """
        made: list[tuple[Server, str]] = []
        try:
            for place in self._places:
                loaded = new_name("load", self.key, self._config)
                drop_at_end(place.server, self._config)
                place.server.create(loaded)
                made.append((place.server, loaded))
            yield self._moved(sandbox, [name for _, name in made])
            for index, (server, loaded) in enumerate(made):
                name = new_name("template", self.key, self._config)
                server.close(loaded, name)
                made[index] = (server, name)
            if made:
                # only names: the credentials stay in the configuration
                record = json.dumps([name for _, name in made])
                (folder / _RECORD).write_text(record, encoding="utf-8")
        except BaseException:
            _drop(made)
            raise

    def copy_from(self, folder: Path) -> None:
        """Move the destinations of the active sandbox into copies of a template's databases.

        Args:
            folder: The folder of the template.

        Raises:
            Damaged: A database of the template is gone.
            Failed: The server refuses to copy one.
        """
        if not self._places:
            return
        try:
            templates = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            for place, template in zip(self._places, templates, strict=True):
                drop_at_end(place.server, self._config)
                name = new_name("copy", self.key, self._config)
                place.server.copy(template, name)
                self._copies.append((place.server, name))
        except (OSError, ValueError, TemplateGone) as error:
            _drop(self._copies)
            raise Damaged(str(error)) from error
        moved = self._moved(self._sandbox, [name for _, name in self._copies])
        move_destinations(moved)

    def drop_loaded(self, folder: Path) -> None:
        """Drop the databases of a template that nobody needs; they may be gone.

        Args:
            folder: The folder of the template.
        """
        if not self._places:
            return
        with suppress(OSError, ValueError):
            templates = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            _drop([(p.server, name) for p, name in zip(self._places, templates, strict=True)])

    def _moved(self, sandbox: Sandbox, databases: Sequence[str]) -> Sandbox:
        """Return the sandbox with its destinations in other databases."""
        moved: dict[str, Mapping[str, Any]] = dict(sandbox.destinations)
        for place, database in zip(self._places, databases, strict=True):
            for name in place.destinations:
                given = moved.get(name) or moved.get(sandbox.every_type or "")
                given = given or placed_by_plugin(sandbox, name)
                url = place.server.url_of(database)
                moved[name] = {**given, _TYPE: "postgres", "credentials": url}
        owned = tuple(name for place in self._places for name in place.destinations)
        return replace(sandbox, destinations=moved, owned=owned)

    def __enter__(self) -> Databases:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._copies:
            move_destinations(self._sandbox)
            _drop(self._copies)


def _drop(databases: list[tuple[Server, str]]) -> None:
    while databases:
        server, name = databases.pop()
        server.drop(name)


def _places_of(loads: Iterable[Load], sandbox: Sandbox) -> Iterator[_Place]:
    """Yield the databases of loads, each with all destinations that lead there."""
    # nearly all sessions end here, without a call to dlt
    if not sandbox.allowed:
        return
    servers = _servers(_destinations_of(loads), sandbox)
    if not servers:
        return
    places = {server.place for server in servers.values()}
    servers.update(_servers(_destinations_in(sandbox), sandbox))
    for place in sorted(places):
        there = {name: server for name, server in servers.items() if server.place == place}
        yield _Place(next(iter(there.values())), tuple(sorted(there)))


def _destinations_of(loads: Iterable[Load]) -> Iterator[AnyDestination]:
    for load in loads:
        # if the destination is wrong, the run reports it, and only once
        with suppress(Exception):
            yield load.destination()


def _destinations_in(sandbox: Sandbox) -> Iterator[AnyDestination]:
    """Yield the destinations in the fixture `dlt_destinations`: they may lead to the same place."""
    for name, settings in sandbox.destinations.items():
        if settings[_TYPE] == "postgres":
            destination = Destination.from_reference("postgres", destination_name=name)
            assert destination is not None
            yield destination


def _servers(destinations: Iterable[AnyDestination], sandbox: Sandbox) -> dict[str, Server]:
    """Return the servers of those destinations that are allowed PostgreSQL databases, by name."""
    return {
        destination.destination_name: _server_of(destination)
        for destination in destinations
        if destination.destination_type.endswith(".postgres") and is_allowed(destination, sandbox)
    }


def _server_of(destination: AnyDestination) -> Server:
    name = destination.destination_name
    try:
        # partial, since there is no dataset yet
        config: Any = destination.configuration(destination.spec(), accept_partial=True)
        missing = [key for key in _NEEDED if not getattr(config.credentials, key, None)]
        problem = f"has no {', '.join(missing)}" if missing else ""
    except ConfigurationException as error:
        # without its text, which may contain credentials
        problem = f"has credentials that cannot be read ({type(error).__name__})"
    if problem:
        raise cannot_load(
            f"destination `{name}` (postgres) {problem}. Give it a URL such as "
            "postgresql://user:password@host:5432/database: in the fixture dlt_destinations, or in "
            "the test profile."
        )
    return Server(config.credentials, name)
