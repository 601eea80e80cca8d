"""dlt's destinations: what they are, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext,
)

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination


def is_custom_destination(destination: AnyDestination) -> bool:
    """Tell whether `destination` is a function with `@dlt.destination`."""
    from dlt.destinations.impl.destination.factory import destination as custom_destination

    return isinstance(destination, custom_destination)


def duckdb_path(credentials: Any) -> str | None:
    """Return the path that explicit DuckDB credentials lead to.

    Empty for a database in memory, and None for one that is not embedded, or cannot be told.
    """
    from dlt.destinations.impl.duckdb.configuration import (
        DuckDbBaseCredentials,
        DuckDbCredentials,
    )

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


def providers() -> list[ConfigProvider]:
    """Return the configuration providers of the active run context, the highest first."""
    return list(Container()[PluggableRunContext].providers.providers)
