"""Databases in memory that tests share, because a module or fixture holds the connection.

Each test finds the rows that the module or fixture has put there, and none of other tests.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from dlthub_project.dlt_internals.memory_databases import given_database, save_in_memory
from dlthub_project.errors import ProjectError
from dlthub_project.sandbox.settings import Sandbox

# by the folder of the sandbox: the functions that restore a database, by the given connection
_saved: dict[str, dict[int, tuple[Any, Callable[[], None] | None]]] = {}


def remember(config: Any, sandbox: Sandbox) -> None:
    """Note what is in a database in memory, before this sandbox uses it for the first time."""
    given = given_database(config)
    known = _saved.setdefault(sandbox.folder, {})
    if given is not None and id(given) not in known:
        # kept alive, so that no other object gets its id
        known[id(given)] = (given, save_in_memory(given))


def restore(sandbox: Sandbox) -> None:
    """Put back the databases that a sandbox has used, which ends now.

    Raises:
        ProjectError: One cannot be put back: another test would find what this one has loaded.
    """
    with ExitStack() as all_of_them:
        for _, put_back in _saved.pop(sandbox.folder, {}).values():
            if put_back is not None:
                all_of_them.callback(_restore, put_back)


def _restore(put_back: Callable[[], None]) -> None:
    try:
        put_back()
    except Exception as error:
        raise ProjectError(
            "A database in memory, to which code of a module or fixture has the connection, "
            f"cannot be emptied after this test ({type(error).__name__}): the next one would "
            "find its rows.",
            "End the transaction that is open there, or make the connection in the test.",
        ) from error
