"""Blocks what is still remote, before a connection is opened."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlparse

from dlt.common.destination import Destination

from dlthub_project.dlt_internals import destinations
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox.destinations import has_place, is_recording, original_of, short_type
from dlthub_project.sandbox.settings import Sandbox


def is_allowed(destination: Destination[Any, Any], sandbox: Sandbox) -> bool:
    """Tell whether tests may reach `destination`: by its name, or by the type that all have."""
    destination_type = short_type(destination)
    by_type = sandbox.every_type == destination_type and destination_type in sandbox.allowed
    return by_type or destination.destination_name in sandbox.allowed


def passes(destination: Destination[Any, Any], *sandboxes: Sandbox) -> bool:
    """Tell whether a destination is local or allowed in one of `sandboxes`."""
    return any(is_allowed(destination, s) or is_local(destination, s) for s in sandboxes)


def check(destination: Destination[Any, Any], *sandboxes: Sandbox) -> None:
    """Let a destination pass that is local or allowed in one of `sandboxes`.

    Raises:
        RemoteDestinationBlocked: It is remote, and nobody allowed it by name.
    """
    __tracebackhide__ = True
    if not passes(destination, *sandboxes):
        raise _blocked(destination, sandboxes[0])


def check_resolved(destination: Destination[Any, Any], client: Any, *sandboxes: Sandbox) -> None:
    """Let an embedded database pass whose file, as dlt has resolved it for `client`, is local.

    Raises:
        RemoteDestinationBlocked: It is not, and nobody allowed it by name.
    """
    __tracebackhide__ = True
    if not any(
        is_allowed(destination, s) or is_resolved_locally(destination, client.config, s)
        for s in sandboxes
    ):
        raise _blocked(destination, sandboxes[0])


def _blocked(destination: Destination[Any, Any], sandbox: Sandbox) -> RemoteDestinationBlocked:
    name = destination.destination_name
    instead = "refer to it by its name"
    if has_place(original_of(destination)):
        where = "Its place was given in code"
    elif name in sandbox.destinations:
        where = "The fixture dlt_destinations configures it"
        instead = "leave it out there"
    elif short_type(destination) == sandbox.every_type:
        where = "The marker dlt_destination asks for it"
    else:
        where = "The configuration of the test profile places it"
        instead = "leave its place out there"
    return RemoteDestinationBlocked(
        f"Destination `{name}` ({short_type(destination)}) is remote, and tests may not reach it. "
        f"{where}.",
        f"To allow it: dlt_allow_remote = {name} in the ini file, or "
        f'@pytest.mark.dlt_allow_remote("{name}"). To have a temporary DuckDB instead, {instead}.',
    )


def is_local(destination: Destination[Any, Any], sandbox: Sandbox) -> bool:
    """Tell whether using `destination` stays in the sandbox or in memory.

    Decided by type first: nothing of a remote destination is resolved, since that alone may ask
    a metadata service. Loopback is remote, since tunnels to production listen there. Of embedded
    databases, whose configuration may be in several places, `is_resolved_locally` has the last
    word.
    """
    destination_type = short_type(destination)
    if destination_type == "filesystem":
        bucket = destination.config_params.get("bucket_url")
        if bucket is None:
            bucket = destinations.configured_bucket(destination.destination_name)
        return bucket is not None and _is_local_url(str(bucket), sandbox)
    if destination_type == "duckdb":
        credentials = destination.config_params.get("credentials")
        return credentials is None or _is_local_duckdb(credentials, sandbox)
    if destination_type == "sqlalchemy":
        credentials = destination.config_params.get("credentials")
        if credentials is None:
            credentials = destinations.configured_database(destination.destination_name)
        # dlt puts the file of a relative path into the local folder
        return _is_local_sqlite(credentials, sandbox, sandbox.local_dir)
    return destination_type == "dummy" or is_recording(destination)


def is_resolved_locally(destination: Destination[Any, Any], config: Any, sandbox: Sandbox) -> bool:
    """Tell whether an embedded database is local, as dlt has resolved its configuration."""
    destination_type = short_type(destination)
    if destination_type == "duckdb":
        return _is_local_duckdb(config.credentials, sandbox)
    return destination_type != "sqlalchemy" or _is_local_sqlite(
        config.credentials, sandbox, os.getcwd()
    )


def _is_local_sqlite(credentials: Any, sandbox: Sandbox, folder: str) -> bool:
    path = destinations.sqlite_path(credentials)
    return path is not None and (not path or sandbox.is_local_path(os.path.join(folder, path)))


def _is_local_duckdb(credentials: Any, sandbox: Sandbox) -> bool:
    path = destinations.duckdb_path(credentials)
    return path is not None and sandbox.is_local_path(os.path.join(sandbox.local_dir, path))


def _is_local_url(url: str, sandbox: Sandbox) -> bool:
    if "://" not in url:
        return sandbox.is_local_path(os.path.join(sandbox.local_dir, url))
    parsed = urlparse(url)
    return parsed.scheme == "memory" or (
        parsed.scheme == "file" and sandbox.is_local_path(parsed.path)
    )
