"""Blocks what is still remote, before a connection is opened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlparse

from dlthub_project.dlt_internals import contexts, destinations, remote_places
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import allowed_places, replacements, written_files
from dlthub_project.sandbox.destinations import (
    AnyDestination,
    has_place,
    is_recording,
    original_of,
    short_type,
)
from dlthub_project.sandbox.settings import Sandbox

_STAY = "Name a dataset and a layout that stay in their bucket."
# these have files or a server, as their configuration says
_FILES_OR_SERVERS = ("ducklake", "lance", "lancedb", "qdrant")
# databases that DuckDB attaches over a network
_REMOTE = ("md:", "motherduck:", "postgres:", "mysql:", "ducklake:")


def is_allowed(destination: AnyDestination, sandbox: Sandbox) -> bool:
    """Tell whether tests may reach `destination`, provided it is where they have configured it.

    It is allowed by its name, or by the type that all have. If some place is allowed, every
    destination passes here: its resolved configuration decides later.
    """
    destination_type = short_type(destination)
    by_type = sandbox.every_type == destination_type and destination_type in sandbox.allowed
    by_place = any("://" in allowed for allowed in sandbox.allowed)
    return by_type or by_place or destination.destination_name in sandbox.allowed


def passes(destination: AnyDestination, *sandboxes: Sandbox) -> bool:
    """Tell whether a destination is embedded, or may be allowed in one of `sandboxes`."""
    return is_embedded(destination) or any(is_allowed(destination, s) for s in sandboxes)


def check(destination: AnyDestination, *sandboxes: Sandbox) -> None:
    """Let a destination pass that is embedded, or may be allowed in one of `sandboxes`.

    The type decides first: nothing of a remote destination is resolved, because that alone may ask
    a metadata service. Loopback counts as remote, because tunnels to production listen there.

    Raises:
        RemoteDestinationBlocked: It is remote, and nobody allowed it.
    """
    __tracebackhide__ = True
    if not passes(destination, *sandboxes):
        raise _blocked(destination, sandboxes[0])


def check_resolved(
    destination: AnyDestination, client: Any, initial_config: Any, *sandboxes: Sandbox
) -> None:
    """Let a client pass that writes into the sandbox, or to a place that tests have configured.

    Raises:
        RemoteDestinationBlocked: It does not, by the place that dlt has resolved.
    """
    __tracebackhide__ = True
    _check_connects_by_url(destination, client.config)
    if is_embedded(destination):
        _check_local(destination, client, sandboxes)
        return
    given = getattr(initial_config, "credentials", None) is not None
    if any(
        is_allowed(destination, s)
        and allowed_places.is_among_them(destination, client.config, s, is_given=given)
        for s in sandboxes
    ):
        return
    raise _elsewhere(destination, client.config, sandboxes[0])


def check_statement(sql: str, values: tuple[Any, ...], *sandboxes: Sandbox) -> None:
    """Let SQL pass that writes into no file outside of the sandbox.

    Raises:
        RemoteDestinationBlocked: It attaches a database elsewhere, or copies or exports to there.
    """
    __tracebackhide__ = True
    check_files(written_files.files_written(sql, values), *sandboxes)


def check_files(files: Iterable[str], *sandboxes: Sandbox) -> None:
    """Let files pass that a statement writes in the sandbox.

    Raises:
        RemoteDestinationBlocked: One is elsewhere.
    """
    __tracebackhide__ = True
    for written in files:
        is_file = "://" not in written and not written.startswith(_REMOTE)
        is_local = any(sandbox.is_local_path(written) for sandbox in sandboxes)
        if is_file and (is_local or written in ("", ":memory:")):
            continue
        raise blocked_statement(written)


def blocked_statement(written: str) -> RemoteDestinationBlocked:
    """Return the error of a statement that writes to a place outside of the sandbox."""
    return RemoteDestinationBlocked(
        f"A statement writes to {written!r}, which is not in the test's sandbox.",
        "Give it a path below `tmp_path` in tests, or attach it with READ_ONLY to read it.",
    )


def check_path(path: str, *sandboxes: Sandbox) -> None:
    """Let a file pass that is loaded into a sandbox, or into another folder that is local.

    Raises:
        RemoteDestinationBlocked: It is loaded elsewhere.
    """
    __tracebackhide__ = True
    if not any(sandbox.is_local_path(path) for sandbox in sandboxes):
        raise RemoteDestinationBlocked(
            f"A file is loaded to {path}, which is not in the test's sandbox.", _STAY
        )


def is_embedded(destination: AnyDestination) -> bool:
    """Tell whether using `destination` stays on this machine, or in memory."""
    destination_type = short_type(destination)
    if destination_type == "filesystem":
        bucket = _bucket_of(destination)
        is_in_memory = bucket is not None and urlparse(bucket).scheme == "memory"
        return bucket is not None and (
            is_in_memory or destinations.local_bucket(bucket) is not None
        )
    credentials = destination.config_params.get("credentials")
    if destination_type == "duckdb":
        return credentials is None or destinations.duckdb_path(credentials) is not None
    if destination_type == "sqlalchemy":
        if credentials is None:
            credentials = destinations.configured_database(destination.destination_name)
        return destinations.sqlite_path(credentials) is not None
    return destination_type == "dummy" or is_recording(destination)


def is_local(destination: AnyDestination, sandbox: Sandbox) -> bool:
    """Tell whether an embedded destination has its files in this sandbox, before it is opened.

    Otherwise its files must be brought into the sandbox.
    """
    if not is_embedded(destination):
        return False
    destination_type, path = short_type(destination), None
    if destination_type == "filesystem":
        path = destinations.local_bucket(_bucket_of(destination) or "memory://")
    else:
        credentials = destination.config_params.get("credentials")
        if destination_type == "duckdb":
            path = destinations.duckdb_path(credentials) if credentials is not None else None
        elif destination_type == "sqlalchemy":
            if credentials is None:
                credentials = destinations.configured_database(destination.destination_name)
            path = destinations.sqlite_path(credentials)
    return not path or sandbox.is_local_path(sandbox.in_local_dir(path))


def _check_connects_by_url(destination: AnyDestination, config: Any) -> None:
    """Let a configuration pass if nothing but itself decides where it connects to."""
    __tracebackhide__ = True
    if short_type(destination) == "sqlalchemy" and remote_places.connects_by_code(config):
        raise RemoteDestinationBlocked(
            f"{_title(destination)} connects with a function of your own, and nobody can say "
            "where to.",
            "Leave `creator`, `pool`, `module` and listeners of `do_connect` out in tests, or "
            "refer to it by its name to have a temporary DuckDB instead.",
        )
    if variable := remote_places.variable_that_moves(config):
        raise RemoteDestinationBlocked(
            f"{_title(destination)} is where the variable {variable} leads, and not where its "
            "configuration says: nobody can say that tests may reach it.",
            f"Unset {variable} in tests (`monkeypatch.delenv`), and say it in the credentials of "
            f"`{destination.destination_name}`: host, port, database, or a parameter of the URL.",
        )


def _title(destination: AnyDestination) -> str:
    return f"Destination `{destination.destination_name}` ({short_type(destination)})"


def _check_local(destination: AnyDestination, client: Any, sandboxes: tuple[Sandbox, ...]) -> None:
    __tracebackhide__ = True
    config = client.config
    if short_type(destination) == "duckdb" and destinations.duckdb_path(config.credentials) is None:
        # a variable has led it to MotherDuck
        raise _blocked(destination, sandboxes[0])
    path = destinations.local_path(config)
    for written in [*([path] if path else []), *destinations.folders_of(client)]:
        if any(sandbox.is_local_path(written) for sandbox in sandboxes):
            continue
        remedy = _STAY
        if written == path:
            remedy = "Give it the path, and no open connection or URI: the file is then put there."
        raise RemoteDestinationBlocked(
            f"{_title(destination)} writes to {written}, which is not in the test's sandbox.",
            remedy,
        )
    for statement in getattr(getattr(config, "credentials", None), "statements", None) or ():
        check_statement(str(statement), (), *sandboxes)


def _bucket_of(destination: AnyDestination) -> str | None:
    bucket = destination.config_params.get("bucket_url")
    if bucket is None:
        bucket = destinations.configured_bucket(destination.destination_name)
    return None if bucket is None else str(bucket)


def _elsewhere(
    destination: AnyDestination, config: Any, sandbox: Sandbox
) -> RemoteDestinationBlocked:
    name, place = destination.destination_name, remote_places.remote_place(config)
    return RemoteDestinationBlocked(
        f"{_title(destination)} is at {place} here, and tests may reach it only where they have "
        f"configured it. {_origin(destination, sandbox)[0]}.",
        f"To allow this place: dlt_allow_remote = {place} in the ini file, or give it to `{name}` "
        "in the fixture dlt_destinations.",
    )


def _origin(destination: AnyDestination, sandbox: Sandbox) -> tuple[str, str]:
    """Return who gave a destination its place, and how to have a temporary DuckDB instead."""
    if has_place(original_of(destination)):
        return "Its place was given in code", "refer to it by its name"
    if destination.destination_name in sandbox.destinations:
        return "The fixture dlt_destinations configures it", "leave it out there"
    if replacements.placed_by_plugin(sandbox, destination.destination_name):
        plugin = "A plugin's hook pytest_dlt_replace_destination configures it"
        return plugin, "have that return None for it"
    if short_type(destination) == sandbox.every_type:
        return "The marker dlt_destination asks for it", "refer to it by its name"
    if allowed_places.is_other_profile(sandbox):
        active = getattr(contexts.active_run_context(), "profile", "")
        return (
            f"Profile `{active}`, which the test has switched to, places it",
            f"load it on profile `{sandbox.profile}`",
        )
    return "The configuration of the test profile places it", "leave its place out there"


def _blocked(destination: AnyDestination, sandbox: Sandbox) -> RemoteDestinationBlocked:
    name = destination.destination_name
    where, instead = _origin(destination, sandbox)
    is_of_both = short_type(destination) in _FILES_OR_SERVERS
    # nothing of it is resolved, so its place is unknown
    reason = (
        "has files or a server of its own, and neither can be put into the test's sandbox"
        if is_of_both
        else "is remote, and tests may not reach it"
    )
    return RemoteDestinationBlocked(
        f"{_title(destination)} {reason}. {where}.",
        f"To allow it: dlt_allow_remote = {name} in the ini file, or "
        f'@pytest.mark.dlt_allow_remote("{name}"), and its place in the fixture dlt_destinations. '
        f"To have a temporary DuckDB instead, {instead}.",
    )
