"""Loads that go into PostgreSQL: into a database of the template's own, copied for each test.

The place of an allowed destination is that of other people's data. What a mark loads goes into a
new database on the same server; a test's sandbox has the destination in a copy of that.
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
    """A database that destinations are configured to be in.

    Attributes:
        server: Where it is.
        destinations: Their names.
    """

    server: Server
    destinations: tuple[str, ...]


class Databases:
    """The PostgreSQL databases that the loads of one test go into; false when there are none.

    A context manager: at its end the copies are dropped, and the sandbox is as it was.
    """

    def __init__(
        self, places: Sequence[_Place], key: str, sandbox: Sandbox, config: pytest.Config
    ) -> None:
        self._places = places
        self._sandbox = sandbox
        self._config = config
        self._copies: list[tuple[Server, str]] = []
        # a template is on one server
        self.key = (
            digest(key, [(p.server.place, p.destinations) for p in places]) if places else key
        )

    @classmethod
    def of(
        cls, loads: Iterable[Load], key: str, sandbox: Sandbox, config: pytest.Config
    ) -> Databases:
        """Find the databases that loads go into.

        Args:
            loads: What is to be loaded.
            key: Its key, to which where the databases are is added.
            sandbox: The test's, which is active.
            config: That of the session.

        Raises:
            Failed: The configuration does not say enough of where one is.
        """
        return cls(list(_places_of(loads, sandbox)), key, sandbox, config)

    def __bool__(self) -> bool:
        return bool(self._places)

    @contextmanager
    def made_for(self, folder: Path, sandbox: Sandbox) -> Iterator[Sandbox]:
        """Give a block the sandbox that it is to load in, which has new databases.

        They are dropped when the block fails.

        Args:
            folder: The folder of the template that is built.
            sandbox: Its sandbox, which is not active yet.

        Raises:
            Failed: A database cannot be made.
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
                # names alone: the credentials are where they were
                record = json.dumps([name for _, name in made])
                (folder / _RECORD).write_text(record, encoding="utf-8")
        except BaseException:
            _drop(made)
            raise

    def copy_from(self, folder: Path) -> None:
        """Have the destinations in copies of a template's databases, for the active sandbox.

        Args:
            folder: The folder of the template.

        Raises:
            Damaged: One of them is gone.
            Failed: One cannot be copied.
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
        """Return a sandbox that has its destinations in other databases."""
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
    """Yield the databases that loads go into, with every destination that is known to be there."""
    # without asking dlt anything, as in nearly all sessions
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
        # what is wrong with one, its run will tell: once, and not for each test
        with suppress(Exception):
            yield load.destination()


def _destinations_in(sandbox: Sandbox) -> Iterator[AnyDestination]:
    """Yield those that the fixture `dlt_destinations` names: another name of the same database."""
    for name, settings in sandbox.destinations.items():
        if settings[_TYPE] == "postgres":
            destination = Destination.from_reference("postgres", destination_name=name)
            assert destination is not None
            yield destination


def _servers(destinations: Iterable[AnyDestination], sandbox: Sandbox) -> dict[str, Server]:
    """Return where those destinations are that are a PostgreSQL and may be reached, by name."""
    return {
        destination.destination_name: _server_of(destination)
        for destination in destinations
        if destination.destination_type.endswith(".postgres") and is_allowed(destination, sandbox)
    }


def _server_of(destination: AnyDestination) -> Server:
    name = destination.destination_name
    try:
        # partial: there is no dataset yet
        config: Any = destination.configuration(destination.spec(), accept_partial=True)
        missing = [key for key in _NEEDED if not getattr(config.credentials, key, None)]
        problem = f"has no {', '.join(missing)}" if missing else ""
    except ConfigurationException as error:
        # without its text: there may be credentials in it
        problem = f"has credentials that cannot be read ({type(error).__name__})"
    if problem:
        raise cannot_load(
            f"destination `{name}` (postgres) {problem}. Give it a URL such as "
            "postgresql://user:password@host:5432/database: in the fixture dlt_destinations, or in "
            "the test profile."
        )
    return Server(config.credentials, name)
