"""Blocks what is still remote, before a connection is opened."""

from __future__ import annotations

from typing import Any

from dlt.common.destination import Destination

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox.locality import has_place, is_local, short_type
from dlthub_project.sandbox.settings import Sandbox


def is_allowed(destination: Destination[Any, Any], sandbox: Sandbox) -> bool:
    """Tell whether tests may reach `destination`: by its name, or by the type that all have."""
    kind = short_type(destination)
    by_type = sandbox.every_type == kind and kind in sandbox.allowed
    return by_type or destination.destination_name in sandbox.allowed


def check(destination: Destination[Any, Any], sandbox: Sandbox) -> None:
    """Let a local or allowed destination pass.

    Raises:
        RemoteDestinationBlocked: It is remote, and nobody allowed it by name.
    """
    name = destination.destination_name
    if is_allowed(destination, sandbox) or is_local(destination, sandbox):
        return
    if has_place(destination):
        where = "Its place was given in code"
    elif name in sandbox.destinations:
        where = "The fixture dlt_destinations configures it"
    else:
        where = "The test profile configures it"
    raise RemoteDestinationBlocked(
        f"Destination `{name}` ({short_type(destination)}) is remote, and tests may not reach it. "
        f"{where}.",
        f"To allow it: dlt_allow_remote = {name} in the ini file, or "
        f'@pytest.mark.dlt_allow_remote("{name}"). To have a temporary DuckDB in its place, refer '
        "to it by its name.",
    )
