"""Declared and named destinations as DuckDB files in the sandbox."""

from __future__ import annotations

import os
from typing import Any

import dlt
from dlt.common.configuration.providers.provider import ConfigProvider, get_key_name

_TYPE = "destination_type"
_LOCAL_TYPE = "duckdb"


class TemporaryDestinations(ConfigProvider):
    """Answers before any other provider where a destination is, and what it is.

    A destination of another type than DuckDB becomes one, under its own name; each has a file
    of its own in the sandbox, and no credentials that are set elsewhere are read.
    """

    def __init__(self, local_dir: str) -> None:
        self._local_dir = local_dir
        self._asking = False

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
        full_key = get_key_name(key, ".", *((pipeline_name,) if pipeline_name else ()), *sections)
        if len(sections) != 2 or sections[0] != "destination":
            return None, full_key
        destination_name = sections[1]
        if key == "credentials":
            # DuckDB confuses a database and a schema of one name; no dataset name has a hyphen
            return os.path.join(self._local_dir, f"{destination_name}-test.duckdb"), full_key
        if key == _TYPE and not self._is_local(destination_name):
            return _LOCAL_TYPE, full_key
        return None, full_key

    def _is_local(self, destination_name: str) -> bool:
        """Ask the other providers for the type; without an answer the name is the type."""
        if self._asking:
            return True
        self._asking = True
        try:
            declared = dlt.config.get(f"destination.{destination_name}.{_TYPE}", str)
        finally:
            self._asking = False
        return str(declared or destination_name).rsplit(".", 1)[-1] == _LOCAL_TYPE
