"""The place of a destination in tests: as tests say, as a plugin says, or a DuckDB."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox.settings import Sandbox, tell_subprocesses

TYPE = "destination_type"
# keys with the place of a destination; in a test profile's own section they are meant for tests
PLACE_KEYS = ("type", TYPE, "credentials", "bucket_url")

# types that keep files in production, and keep them here
_KEPT = ("duckdb", "filesystem", "dummy")


def temporary_type(declared_type: str) -> str:
    """Return the type of the temporary destination that stands for one of `declared_type`.

    One that keeps files in production keeps its type; for all others it is DuckDB.
    """
    return declared_type if declared_type in _KEPT else "duckdb"


def settings_in_place_of(sandbox: Sandbox, name: str, declared_type: str) -> Mapping[str, Any]:
    """Return the configuration that a destination has here, with files in the sandbox.

    Raises:
        RemoteDestinationBlocked: Plugins decide it, and cannot be asked from this process.
    """
    if sandbox.every_type is not None:
        destination_type = sandbox.every_type
        if destination_type in sandbox.destinations:
            return {**sandbox.destinations[destination_type], TYPE: destination_type}
        settings: Mapping[str, Any] = {TYPE: destination_type}
    else:
        settings = _replacement(sandbox, name, declared_type)
        destination_type = settings[TYPE]
    return {**files_of(sandbox, name, destination_type), **settings}


def files_of(sandbox: Sandbox, name: str, destination_type: str) -> dict[str, Any]:
    """Return where in the sandbox a destination has its files; nothing for other types."""
    if destination_type == "duckdb":
        # DuckDB confuses a database and a schema of one name; no dataset name has a hyphen
        return {"credentials": os.path.join(sandbox.local_dir, f"{name}-test.duckdb")}
    if destination_type == "filesystem":
        return {"bucket_url": os.path.join(sandbox.local_dir, name)}
    return {}


def is_moved_by_plugin(sandbox: Sandbox, name: str, declared_type: str) -> bool:
    """Tell whether a plugin replaces a destination otherwise than by a DuckDB of its name.

    Raises:
        RemoteDestinationBlocked: Plugins decide it, and cannot be asked from this process.
    """
    if not sandbox.is_replaced_by_plugins or sandbox.every_type is not None:
        return False
    return dict(_replacement(sandbox, name, declared_type)) != {TYPE: "duckdb"}


def placed_by_plugin(sandbox: Sandbox, name: str) -> Mapping[str, Any]:
    """Return the configuration that a plugin has given a destination, if it holds a place."""
    for settings in sandbox.replaced.get(name, {}).values():
        if any(key in settings for key in PLACE_KEYS if key != TYPE):
            return settings
    return {}


def _replacement(sandbox: Sandbox, name: str, declared_type: str) -> Mapping[str, Any]:
    """Ask the plugins what stands for a destination, only once for each name and type."""
    known = sandbox.replaced.get(name, {})
    if declared_type in known:
        return known[declared_type]
    if sandbox.replacement is None:
        if sandbox.is_replaced_by_plugins:
            raise RemoteDestinationBlocked(
                f"What stands for destination `{name}` ({declared_type}) here is up to a plugin "
                "(hook pytest_dlt_replace_destination), which cannot be asked from a subprocess of "
                "a test.",
                f"Name `{name}` in the fixture dlt_destinations, or use it in the test before the "
                "subprocess is started.",
            )
        return {TYPE: temporary_type(declared_type)}
    settings = sandbox.replacement(name, declared_type)
    sandbox.replaced.setdefault(name, {})[declared_type] = settings
    if sandbox.is_replaced_by_plugins:
        tell_subprocesses(sandbox)
    return settings
