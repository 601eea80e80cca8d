"""What a destination is in a sandbox: answered before any other configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from dlt.common.configuration.providers.provider import ConfigProvider, get_key_name

from dlthub_project.dlt_internals import destinations
from dlthub_project.errors import ManifestError
from dlthub_project.sandbox.settings import Sandbox, active_sandbox

_TYPE = "destination_type"
# what says where a destination is; set in a test profile's own section, it is meant for tests
PLACE_KEYS = ("type", _TYPE, "credentials", "bucket_url")


def temporary_settings(sandbox: Sandbox, name: str, declared_type: str) -> dict[str, Any]:
    """Return the configuration of a destination that is replaced by files in the sandbox.

    Args:
        sandbox: Where the files go.
        name: The destination.
        declared_type: Its type in production; one that keeps files keeps its type.
    """
    kept = declared_type if declared_type in ("duckdb", "filesystem", "dummy") else "duckdb"
    local_type = sandbox.every_type or kept
    if local_type in sandbox.destinations:
        return {**sandbox.destinations[local_type], _TYPE: local_type}
    return {**_files_of(sandbox, name, local_type), _TYPE: local_type}


def _files_of(sandbox: Sandbox, name: str, local_type: str) -> dict[str, Any]:
    """Return where in the sandbox a destination has its files; nothing for other types."""
    if local_type == "duckdb":
        # DuckDB confuses a database and a schema of one name; no dataset name has a hyphen
        return {"credentials": os.path.join(sandbox.local_dir, f"{name}-test.duckdb")}
    if local_type == "filesystem":
        return {"bucket_url": os.path.join(sandbox.local_dir, name)}
    return {}


class TemporaryDestinations(ConfigProvider):
    """Answers before any other provider where a destination is, and what it is.

    Each destination has files of its own in the sandbox, under its own name, and no credentials
    that are set elsewhere are read. Destinations that tests configure are left to the
    configuration.
    """

    def __init__(self, sandbox: Sandbox, configured_for_tests: Iterable[str] = ()) -> None:
        """Make the provider.

        Args:
            sandbox: Where the files go, and what the session says about destinations.
            configured_for_tests: Destinations that the test profile itself configures.
        """
        self._made_in = sandbox
        self._configured_for_tests = frozenset(configured_for_tests)
        given = (key for settings in sandbox.destinations.values() for key in settings)
        self._answered = frozenset((_TYPE, "credentials", "bucket_url", *given))
        values = [
            value for settings in sandbox.destinations.values() for value in settings.values()
        ]
        self._depths = (2, 3) if any(isinstance(value, Mapping) for value in values) else (2,)

    @property
    def _sandbox(self) -> Sandbox:
        """The sandbox as it is now: its destinations may be elsewhere for a while."""
        active = active_sandbox()
        is_same = active is not None and active.folder == self._made_in.folder
        return active if active is not None and is_same else self._made_in

    @property
    def name(self) -> str:
        return "Temporary destinations"

    @property
    def supports_secrets(self) -> bool:
        return True

    @property
    def supports_sections(self) -> bool:
        return True

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        # asked on every look-up, and what a destination is takes some look-ups more
        if len(sections) not in self._depths or sections[0] != "destination":
            return None, key
        full_key = get_key_name(key, ".", *((pipeline_name,) if pipeline_name else ()), *sections)
        if len(sections) == 3:
            # of a mapping dlt asks for each value
            values = self.settings_of(sections[1]).get(sections[2])
            return (values.get(key) if isinstance(values, Mapping) else None), full_key
        if key not in self._answered:
            return None, full_key
        return self.settings_of(sections[1]).get(key), full_key

    def settings_of(self, destination: str, type_in_code: str | None = None) -> dict[str, Any]:
        """Return what `destination` is here; empty when the configuration decides.

        Args:
            destination: Its name.
            type_in_code: The type of an object that code made; None to ask the configuration.
        """
        if destination in self._sandbox.destinations:
            settings = self._sandbox.destinations[destination]
            return {**_files_of(self._sandbox, destination, settings[_TYPE]), **settings}
        if destination in (*self._sandbox.allowed, *self._configured_for_tests):
            return {}
        declared_type = type_in_code or self.declared_type(destination)
        if destinations.is_custom_reference(declared_type):
            # its function is replaced when an object of it is made
            return {}
        return temporary_settings(self._sandbox, destination, declared_type)

    def declared_type(self, destination: str) -> str:
        """Ask the other providers for the type; without an answer the name is the type.

        Empty when it depends on a variable of production.
        """
        declared = self._declared(_TYPE, destination)
        return destination if declared is None else declared.removeprefix("dlt.destinations.")

    def declared_bucket(self, destination: str) -> str:
        """Ask the other providers for the URL of a bucket; empty when they do not tell."""
        return self._declared("bucket_url", destination) or ""

    def _declared(self, key: str, destination: str) -> str | None:
        for provider in destinations.providers():
            if provider is self:
                continue
            try:
                declared, _ = provider.get_value(key, str, "", "destination", destination)
            except ManifestError:
                # it uses a variable of production
                return ""
            if declared:
                return str(declared)
        return None
