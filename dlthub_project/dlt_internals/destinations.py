"""dlt's destinations: their types, and the places that they lead to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from dlt.common.configuration import configspec
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration, ConnectionStringCredentials
from dlt.common.configuration.specs.exceptions import InvalidConnectionString
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext,
)
from dlt.common.configuration.utils import get_resolved_traces

from dlthub_project.dlt_internals.datasets import local_database

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.destination.reference import AnyDestination

# what dlt calls the database of a connection that is open already
_OF_CONNECTION = ":external:"


def is_custom_destination(destination: AnyDestination) -> bool:
    """Tell whether `destination` is a function with `@dlt.destination`."""
    from dlt.destinations.impl.destination.factory import destination as custom_destination

    return isinstance(destination, custom_destination)


def is_custom_reference(reference: str) -> bool:
    """Tell whether a dotted `reference` leads to a function with `@dlt.destination`."""
    from dlt.common.destination.exceptions import UnknownDestinationModule
    from dlt.common.destination.reference import DestinationReference
    from dlt.destinations.impl.destination.factory import destination as custom_destination

    if "." not in reference:
        return False
    try:
        factory = DestinationReference.ensure_factory(DestinationReference.find(reference))
    except UnknownDestinationModule:
        return False
    return issubclass(factory, custom_destination)


def capabilities_take_configuration(destination: AnyDestination) -> bool:
    """Tell whether there is a reason to resolve a destination's configuration for its capabilities.

    dlt always does so, some ten times in a run, for a method that ignores it unless the
    destination overrides it. DuckDB does not: once is enough, for the trace of the run.
    """
    from dlt.common.destination import Destination

    # a class method has a function
    of_class: Any = type(destination).adjust_capabilities
    if of_class.__func__ is not Destination.adjust_capabilities.__func__:  # type: ignore[attr-defined]
        return True
    return not any(
        type(look_up.config) is destination.spec
        and destination.destination_name in look_up.sections
        for look_up in get_resolved_traces().all_traces
    )


def duckdb_path(credentials: Any) -> str | None:
    """Return the path that explicit DuckDB credentials lead to.

    Empty for a database in memory, and None for one that is not embedded, or cannot be told.
    """
    from dlt.destinations.impl.duckdb.configuration import (
        DuckDbBaseCredentials,
        DuckDbCredentials,
    )

    if type(credentials).__name__ == "DuckDBPyConnection":
        connection, credentials = credentials, DuckDbCredentials()
        credentials.parse_native_representation(connection)
    if isinstance(credentials, dict):
        credentials = credentials.get("database", "")
    if isinstance(credentials, DuckDbBaseCredentials):
        database = str(getattr(credentials, "database", None) or "")
    else:
        database = _database_in(credentials)
    if database.startswith(("md:", "motherduck:")):
        return None
    return "" if database.startswith(":") else database


# asked for each client, and in one test always for the same
@lru_cache(maxsize=64)
def _database_in(connection_string: str) -> str:
    if "://" not in (path := str(connection_string)):
        # dlt needs 0.3 ms to try whether it is a URL, and then a valid path
        return path
    from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

    parsed = DuckDbCredentials()
    parsed.parse_native_representation(connection_string)
    return str(parsed.database or "")


def sqlite_path(credentials: Any) -> str | None:
    """Return the path of the SQLite file that SQLAlchemy credentials lead to; imports no driver.

    Empty for a database in memory, and for the file that dlt chooses. None for another database.
    """
    # an engine has it all in its URL
    credentials = getattr(credentials, "url", credentials)
    if isinstance(credentials, str):
        parsed = ConnectionStringCredentials()
        try:
            parsed.parse_native_representation(credentials)
        except InvalidConnectionString:
            return None
        credentials = parsed
    if isinstance(credentials, Mapping):
        driver, database, query = (credentials.get(k) for k in ("drivername", "database", "query"))
    else:
        driver, database, query = (
            getattr(credentials, name, None) for name in ("drivername", "database", "query")
        )
    # others of SQLite may be remote, as that of libsql
    if driver not in ("sqlite", "sqlite+pysqlite"):
        return None
    path = str(database or "")
    if path == ":memory:":
        return ""
    if not path.startswith("file:"):
        return path
    return "" if (query or {}).get("mode") == "memory" else urlparse(path).path


@configspec
class _Database(BaseConfiguration):
    credentials: ConnectionStringCredentials | None = None


def configured_database(destination_name: str) -> ConnectionStringCredentials | None:
    """Return the place that dlt would find for a destination by SQLAlchemy."""
    sections = ("destination", destination_name)
    return resolve_configuration(_Database(), sections=sections, accept_partial=True).credentials


@configspec
class _OfDestination(BaseConfiguration):
    bucket_url: str | None = None
    replace_strategy: str | None = None


def configured_bucket(destination_name: str) -> str | None:
    """Return the URL that dlt would find for a filesystem destination, without its credentials.

    Resolving those may ask a metadata service.
    """
    return _configured(destination_name).bucket_url


def configured_replace_strategy(destination_name: str) -> str | None:
    """Return how dlt would replace tables of a destination, as its configuration says."""
    return _configured(destination_name).replace_strategy


def _configured(destination_name: str) -> _OfDestination:
    sections = ("destination", destination_name)
    return resolve_configuration(_OfDestination(), sections=sections)


def providers() -> list[ConfigProvider]:
    """Return the configuration providers of the active run context, the highest first."""
    return list(Container()[PluggableRunContext].providers.providers)


def physical_place(client: JobClientBase, dataset_name: str) -> str:
    """Return the place where a destination keeps a dataset, without secrets: a file, or a dataset.

    Two clients of one place give the same text, unless one names a server by its name and the
    other by its address.
    """
    credentials: Any = getattr(client.config, "credentials", None)
    kind = str(client.config.destination_type)
    of_file = sqlite_path(credentials) if "sqlalchemy" in kind else local_database(client)
    if of_file:
        # one writer has all of it
        return os.path.realpath(of_file)
    if bucket := getattr(client.config, "bucket_url", None):
        # what filesystem destinations have
        local = getattr(client, "is_local_filesystem", False)
        where = os.path.realpath(str(client.bucket_path)) if local else str(bucket)  # type: ignore[attr-defined]
    elif host := getattr(credentials, "host", None):
        where = f"{host}:{getattr(credentials, 'port', '')}/{getattr(credentials, 'database', '')}"
    elif "duckdb" in kind:
        # in memory
        where = f"{os.getpid()}/{id(credentials)}"
    else:
        where = str(client.config.fingerprint())
    return f"{kind} {where} {dataset_name}"


def local_path(config: Any) -> str | None:
    """Return the file or folder that a resolved configuration leads to, as an absolute path.

    None where it is in memory, not on this machine, or behind a connection that is open already.
    """
    credentials: Any = getattr(config, "credentials", None)
    kind = str(getattr(config, "destination_type", ""))
    if kind == "filesystem":
        bucket = getattr(config, "bucket_url", None)
        return local_bucket(str(bucket)) if bucket else None
    if credentials is None or kind not in ("duckdb", "sqlalchemy"):
        return None
    path = duckdb_path(credentials) if kind == "duckdb" else sqlite_path(credentials)
    if kind == "duckdb" and not os.path.isabs(path or "."):
        path = _path_of_dlts(config, path)
    return os.path.abspath(path) if path else None


def _path_of_dlts(config: Any, path: str | None) -> str | None:
    """Return the file that dlt makes of a relative path. dlt does so when everything is resolved.

    None for a database that is not in a file.
    """
    database = str(getattr(config.credentials, "database", None) or "")
    if path is None or is_open_already(config):
        return None
    if database == _OF_CONNECTION:
        # without one DuckDB makes a file of that name, in the working folder
        return str(config.credentials._conn_str())
    return None if database.startswith(":") else str(config.make_location(path, "%s.duckdb"))


def local_bucket(bucket_url: str) -> str | None:
    """Return the folder of a bucket on this machine, as it is written; None for other buckets."""
    from dlt.common.storages.configuration import FilesystemConfiguration

    if FilesystemConfiguration.is_local_path(bucket_url):
        return bucket_url
    if urlparse(bucket_url).scheme != "file":
        return None
    return FilesystemConfiguration.make_local_path(bucket_url)


def move(config: Any, path: str) -> bool:
    """Make a resolved configuration lead to another file or folder; false if it cannot.

    The connection or engine that code has opened stays where it is.
    """
    if str(config.destination_type) == "filesystem":
        config.bucket_url = config.make_file_url(path)
        return True
    credentials = config.credentials
    if is_open_already(config) or str(credentials.database).startswith("file:"):
        return False
    # the object may be the user's own
    config.credentials = moved = credentials.copy()
    if moved.database == _OF_CONNECTION:
        # by that name dlt knows that the connection is missing: it says so after the load
        moved._conn_str = lambda: path
    else:
        moved.database = path
    moved.on_resolved()
    moved.__is_resolved__ = True
    return True


def is_open_already(config: Any) -> bool:
    """Tell whether code has opened the database of a resolved configuration."""
    credentials = config.credentials
    if getattr(credentials, "_external_engine", None) is not None:
        return True
    pool = getattr(credentials, "conn_pool", None)
    is_owned = pool is None or getattr(pool, "_conn_owner", True)
    return getattr(credentials, "_external_conn", None) is not None or not is_owned


def folders_of(client: JobClientBase) -> list[str]:
    """Return the folders on this machine that a client writes tables to; empty for databases.

    The name of a dataset or a layout may lead out of the bucket.
    """
    if not getattr(client, "is_local_filesystem", False):
        return []
    of_files: Any = client
    config = of_files.config
    staging = config.staging_dataset_name_layout % of_files.dataset_name
    folders = [of_files.dataset_path, os.path.join(of_files.bucket_path, staging)]
    values = {**(config.extra_placeholders or {})}
    text = str(config.layout)
    for name, value in values.items():
        text = text.replace("{" + name + "}", "x" if callable(value) else str(value))
    return [*folders, *(os.path.join(folder, text) for folder in folders)]


def file_jobs() -> type:
    """Return dlt's class of jobs that write a file into a bucket."""
    from dlt.destinations.impl.filesystem.filesystem import FilesystemLoadJob

    return FilesystemLoadJob


def is_local_job(job: Any) -> bool:
    """Tell whether a job of a bucket writes to this machine."""
    return bool(getattr(job._job_client, "is_local_filesystem", False))
