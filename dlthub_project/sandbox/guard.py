"""Blocks what is still remote, before a connection is opened."""

from __future__ import annotations

from typing import Any

from dlt.common.destination import Destination

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox.locality import has_place, is_local, is_resolved_locally, short_type
from dlthub_project.sandbox.replacement import original_of
from dlthub_project.sandbox.settings import Sandbox


def is_allowed(destination: Destination[Any, Any], sandbox: Sandbox) -> bool:
    """Tell whether tests may reach `destination`: by its name, or by the type that all have."""
    kind = short_type(destination)
    by_type = sandbox.every_type == kind and kind in sandbox.allowed
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
