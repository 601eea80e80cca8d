"""dlt's destinations: what they are, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlt.common.configuration import configspec
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext,
)

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination


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


def duckdb_path(credentials: Any) -> str | None:
    """Return the path that explicit DuckDB credentials lead to.

    Empty for a database in memory, and None for one that is not embedded, or cannot be told.
    """
    from dlt.destinations.impl.duckdb.configuration import (
        DuckDbBaseCredentials,
        DuckDbCredentials,
    )

    if type(credentials).__name__ == "DuckDBPyConnection":
        # not through dlt: 1.27 does not tell
        return _path_of_connection(credentials)
    if isinstance(credentials, dict):
        credentials = credentials.get("database", "")
    if not isinstance(credentials, DuckDbBaseCredentials):
        parsed = DuckDbCredentials()
        parsed.parse_native_representation(credentials)
        credentials = parsed
    database = str(getattr(credentials, "database", None) or "")
    if database.startswith(("md:", "motherduck:")):
        return None
    return "" if database.startswith(":") else database


def _path_of_connection(connection: Any) -> str:
    query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    with connection.cursor() as cursor:
        row = cursor.execute(query).fetchone()
    return str(row[0] or "") if row else ""


@configspec
class _Bucket(BaseConfiguration):
    bucket_url: str | None = None


def configured_bucket(destination_name: str) -> str | None:
    """Return the URL that dlt would find for a filesystem destination, without its credentials.

    Resolving those may ask a metadata service.
    """
    sections = ("destination", destination_name)
    return resolve_configuration(_Bucket(), sections=sections).bucket_url


def providers() -> list[ConfigProvider]:
    """Return the configuration providers of the active run context, the highest first."""
    return list(Container()[PluggableRunContext].providers.providers)
