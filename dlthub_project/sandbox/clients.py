"""Clients of destinations that code keeps in a module or a cache: each test gets its own.

A client knows the place that it was made for. The next test would read a file that is gone, or the
rows of the test before.
"""

from __future__ import annotations

import copy
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dlthub_project.dlt_internals import clients
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import destinations
from dlthub_project.sandbox.at_import import is_import_running
from dlthub_project.sandbox.destinations import AnyDestination
from dlthub_project.sandbox.settings import Sandbox, has_ended, lasting_sandboxes

_RECORD = "_dlthub_record"


class _Thread(threading.local):
    is_making = False


_thread = _Thread()
# by the folder of the sandbox, while it lasts
_made: dict[str, weakref.WeakSet[Any]] = {}


@dataclass
class _Record:
    """Where a client was made.

    Attributes:
        sandbox: The one that it belongs to.
        is_made_at_import: A module that was being imported made it.
        make: Makes another one where it is called.
    """

    sandbox: Sandbox
    is_made_at_import: bool
    make: Callable[[Sandbox], Any]


def remember(
    client: Any, destination: AnyDestination, arguments: dict[str, Any], sandbox: Sandbox
) -> None:
    """Note where a client is made.

    Args:
        client: The new client.
        destination: What it is of.
        arguments: What it was made with.
        sandbox: The sandbox.
    """

    def make(elsewhere: Sandbox) -> Any:
        there = destinations.in_sandbox(destination, elsewhere)
        pipeline_name = destination.config_params.get("pipeline_name")
        if pipeline_name and "pipeline_name" not in there.config_params:
            # its file may be named after the pipeline
            there = copy.copy(there)
            there.config_params = {**there.config_params, "pipeline_name": pipeline_name}
        return there.client(**{**arguments, **clients.fresh(arguments)})

    record = _Record(sandbox, is_import_running(), make)
    for one in clients.parts_of(client):
        vars(one)[_RECORD] = record
        remember_open(one, sandbox)


def remember_open(one: Any, sandbox: Sandbox) -> None:
    """Close a client, or the backend of ibis that took its connection, when this sandbox ends."""
    _made.setdefault(sandbox.folder, weakref.WeakSet()).add(one)


def bring_into(client: Any, sandbox: Sandbox) -> None:
    """Move a client into this sandbox that code keeps from an ended sandbox, or from an import.

    Clients of a sandbox that lasts stay there: a fixture of wider scope may have loaded their data.
    """
    record: _Record | None = clients.record_of(client, _RECORD)
    if record is None:
        _check_is_local(client)
        return
    if record.sandbox.folder == sandbox.folder:
        return
    if not (record.is_made_at_import or has_ended(record.sandbox)):
        return
    clients.replace(client, record.make(sandbox))
    made: _Record = clients.record_of(client, _RECORD)
    made.is_made_at_import = record.is_made_at_import


def _check_is_local(client: Any) -> None:
    """Let a client that no destination has made pass, if it stays in the sandbox."""
    __tracebackhide__ = True
    if _thread.is_making:
        # its place is about to be checked
        return
    place = clients.local_path_of(client)
    is_local = not place or any(
        s.is_local_path(os.path.abspath(place)) for s in lasting_sandboxes()
    )
    if place is None or not is_local:
        where = "a server" if place is None else place
        raise RemoteDestinationBlocked(
            f"A client ({type(client).__name__}) was made outside of the test's sandbox, and leads "
            f"to {where}.",
            "Have a function make it (`pipeline.sql_client()`), and not a module while it is "
            "imported.",
        )


@contextmanager
def being_made() -> Iterator[None]:
    """Make, in a block, a client of a destination."""
    outer, _thread.is_making = _thread.is_making, True
    try:
        yield
    finally:
        _thread.is_making = outer


def close(folder: str) -> None:
    """Close the connections of clients of a sandbox that ends: code may keep the clients."""
    for client in [*_made.pop(folder, ())]:
        # the file is about to be deleted
        with suppress(Exception):
            clients.close(client)
