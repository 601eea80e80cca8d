"""Which destinations are local: embedded, with files in the sandbox or in memory."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlparse

from dlt.common.destination import Destination

from dlthub_project.dlt_internals import destinations
from dlthub_project.sandbox import recorder
from dlthub_project.sandbox.settings import Sandbox

_PLACE_ARGUMENTS = ("credentials", "bucket_url", "destination_callable", "lance_uri", "warehouse")


def short_type(destination: Destination[Any, Any]) -> str:
    """Return the type of a destination without the module of dlt's own ones."""
    return destination.destination_type.removeprefix("dlt.destinations.")


def has_place(destination: Destination[Any, Any]) -> bool:
    """Tell whether code gave this destination its place, such as a URL."""
    return any(destination.config_params.get(key) is not None for key in _PLACE_ARGUMENTS)


def is_local(destination: Destination[Any, Any], sandbox: Sandbox) -> bool:
    """Tell whether using `destination` stays in the sandbox or in memory.

    Decided by type first: nothing of a remote destination is resolved, since that alone may ask
    a metadata service. Loopback is remote, since tunnels to production listen there. Of embedded
    databases, whose configuration may be in several places, `is_resolved_locally` has the last
    word.
    """
    kind = short_type(destination)
    if kind == "filesystem":
        bucket = destination.config_params.get("bucket_url")
        if bucket is None:
            bucket = destinations.configured_bucket(destination.destination_name)
        return bucket is not None and _is_local_url(str(bucket), sandbox)
    if kind == "duckdb":
        credentials = destination.config_params.get("credentials")
        return credentials is None or _is_local_duckdb(credentials, sandbox)
    if kind == "sqlalchemy":
        credentials = destination.config_params.get("credentials")
        if credentials is None:
            credentials = destinations.configured_database(destination.destination_name)
        # dlt puts the file of a relative path into the local folder
        return _is_local_sqlite(credentials, sandbox, sandbox.local_dir)
    return kind == "dummy" or recorder.is_recording(destination)


def is_resolved_locally(destination: Destination[Any, Any], config: Any, sandbox: Sandbox) -> bool:
    """Tell whether an embedded database is local, as dlt has resolved its configuration."""
    kind = short_type(destination)
    if kind == "duckdb":
        return _is_local_duckdb(config.credentials, sandbox)
    return kind != "sqlalchemy" or _is_local_sqlite(config.credentials, sandbox, os.getcwd())


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
