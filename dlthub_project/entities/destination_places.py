"""Where a destination keeps its data, as the configuration says: to be printed, without secrets.

These functions look single values up. They never resolve a destination's whole configuration as dlt
does: that may ask a metadata service for credentials, connect, or import a driver.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dlthub_project.dlt_internals import destinations, resources
from dlthub_project.entities.factory import DltEntityFactory
from dlthub_project.errors import ManifestError
from dlthub_project.secrets import KNOWN, masked_text, public_url

UNKNOWN = "?"
MISSING = "credentials are missing"

# dlt has no default credentials for these types
_SERVERS = frozenset(
    (
        "clickhouse",
        "databricks",
        "dremio",
        "fabric",
        "mssql",
        "postgres",
        "redshift",
        "snowflake",
        "sqlalchemy",
        "synapse",
    )
)
# the keys that name a place, the best first; no other value is ever printed
_PLACE_KEYS = (
    "bucket_url",
    "lance_uri",
    "qd_location",
    "qd_path",
    "query_result_bucket",
    "project_id",
)
_HOST_KEYS = ("host", "server_hostname", "url", "uri", "location", "path")
_DATABASE_KEYS = ("database", "catalog", "project_id")


# types that keep everything in a folder or file of this machine, if their place is a path
_OF_FILES = ("ducklake", "filesystem", "delta", "iceberg", "lance", "lancedb")


@dataclass(frozen=True)
class Storage:
    """What holds the data of a destination.

    Attributes:
        kind: `database`: one file, which takes one writer; `files` on this machine; `remote`.
        place: The path, with links and relative parts resolved, or how the place is printed.
    """

    kind: Literal["database", "files", "remote"]
    place: str


def storage_of(entities: DltEntityFactory, destination_name: str) -> Storage:
    """Return what holds the data of a destination, as `place_of` finds it.

    A destination of unknown place is `remote`.
    """
    place, destination_type = place_of(entities, destination_name), _type_of(destination_name)
    is_path = os.path.isabs(place)
    if is_path and destination_type in ("duckdb", "sqlalchemy"):
        return Storage("database", os.path.realpath(place))
    if is_path and destination_type in _OF_FILES:
        return Storage("files", os.path.realpath(place))
    if place.startswith("file:") and destination_type in _OF_FILES:
        return Storage("files", os.path.realpath(destinations.local_bucket(place) or place))
    return Storage("remote", place)


def place_of(entities: DltEntityFactory, destination_name: str) -> str:
    """Return where a destination keeps its data: a path, a bucket's URL, or host and database.

    Connects to nothing, imports no code of the project and raises nothing. An unknown place is a
    question mark, or the reason why nobody knows it.
    """
    try:
        found = _configured_place(entities, destination_name, _type_of(destination_name))
        return KNOWN.masked(found)
    except ManifestError as error:
        return error.problems[0].message.partition(";")[0]
    except Exception:
        # a provider failed, or a value is of no known kind: opening the dataset raises the error
        return UNKNOWN


def _type_of(name: str) -> str:
    written = _value("destination_type", str, (("destination", name),))
    return str(written or name).removeprefix("dlt.destinations.")


def _configured_place(entities: DltEntityFactory, name: str, destination_type: str) -> str:
    if "." in destination_type:
        # a destination function of the project
        return destination_type
    sections = (("destination", name), ("destination",), ())
    local_dir = entities.project.local_dir
    credentials = _value("credentials", Any, sections)
    if destination_type == "duckdb":
        return _duckdb_file(credentials, sections, name, local_dir)
    sqlite = destinations.sqlite_path(credentials) if destination_type == "sqlalchemy" else None
    if sqlite is not None:
        return os.path.join(local_dir, sqlite) if sqlite else UNKNOWN
    for key in _PLACE_KEYS:
        if place := _value(key, str, sections[:1]):
            return _printed_place(str(place), local_dir)
    host, database = _server(credentials, sections)
    if host or database:
        return "/".join(filter(None, (host, database)))
    return MISSING if credentials is None and destination_type in _SERVERS else UNKNOWN


def _value(key: str, hint: Any, sections: Iterable[tuple[str, ...]]) -> Any:
    found = (resources.configured_value(key, hint, *path) for path in sections)
    return next((value for value in found if value is not None), None)


def _duckdb_file(
    credentials: Any, sections: tuple[tuple[str, ...], ...], name: str, local_dir: str
) -> str:
    database = _of_credentials("database", sections)
    if database is None and credentials is not None:
        database = destinations.duckdb_path(credentials)
        if database is None:
            return public_url(str(credentials))
    if database and str(database).startswith(":"):
        return str(database)
    return os.path.join(local_dir, str(database or f"{name}.duckdb"))


def _server(credentials: Any, sections: tuple[tuple[str, ...], ...]) -> tuple[str, str]:
    written: Mapping[str, Any] = {}
    if isinstance(credentials, Mapping):
        written = credentials
    elif isinstance(credentials, str) and "://" in credentials:
        host, _, database = public_url(credentials).partition("://")[2].partition("/")
        written = {"host": host, "database": database}
    elif isinstance(credentials, str) and credentials.lstrip().startswith("{"):
        written = json.loads(credentials)

    def first(keys: Iterable[str]) -> str:
        found = (_of_credentials(key, sections) or written.get(key) for key in keys)
        return next(
            (_without_secrets(str(value)) for value in found if isinstance(value, str | int)), ""
        )

    host, database, port = first(_HOST_KEYS), first(_DATABASE_KEYS), first(("port",))
    return (f"{host}:{port}" if host and port else host), database


def _of_credentials(key: str, sections: tuple[tuple[str, ...], ...]) -> Any:
    return _value(key, Any, ((*path, "credentials") for path in sections))


def _printed_place(place: str, local_dir: str) -> str:
    if "://" in place:
        return public_url(place)
    return os.path.join(local_dir, place.partition("?")[0])


def _without_secrets(value: str) -> str:
    if "://" in value:
        return public_url(value)
    return masked_text(value.rpartition("@")[2].partition("?")[0])
