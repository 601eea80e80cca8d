"""Which destinations are local: embedded, with files in the sandbox or in memory."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlparse

from dlt.common.destination import Destination

from dlthub_project import dlt_internals
from dlthub_project.sandbox.settings import Sandbox

_FILE_TYPES = {"duckdb": "credentials", "filesystem": "bucket_url"}
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
    a metadata service. Loopback is remote, since tunnels to production listen there.
    """
    kind = short_type(destination)
    if kind == "dummy":
        return True
    if kind not in _FILE_TYPES:
        return False
    key = _FILE_TYPES[kind]
    place = destination.config_params.get(key)
    if place is None:
        place = dlt_internals.configured_value(
            key, Any, "destination", destination.destination_name
        )
    if place is None:
        return kind == "duckdb"
    if kind == "duckdb":
        path = dlt_internals.duckdb_path(place)
        return path is not None and sandbox.is_local_path(os.path.join(sandbox.local_dir, path))
    return _is_local_url(str(place), sandbox)


def _is_local_url(url: str, sandbox: Sandbox) -> bool:
    if "://" not in url:
        return sandbox.is_local_path(os.path.join(sandbox.local_dir, url))
    parsed = urlparse(url)
    return parsed.scheme == "memory" or (
        parsed.scheme == "file" and sandbox.is_local_path(parsed.path)
    )
