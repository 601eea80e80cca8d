"""Turns the destinations that tests and plugins choose into settings of dlt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlparse

import pytest

from pytest_dlthub.hook_calls import called, of_others, refused

_TYPE = "destination_type"
_FILE_SCHEMES = ("file", "s3", "gs", "gcs", "az", "abfss", "memory")
_SCHEME_TYPES = {
    "duckdb": "duckdb",
    "postgres": "postgres",
    "postgresql": "postgres",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "clickhouse": "clickhouse",
    "databricks": "databricks",
    "mssql": "mssql",
}


def replacement_by(node: pytest.Item | pytest.Collector) -> Callable[[str, str], dict[str, Any]]:
    """Return a function that calls `pytest_dlt_replace_destination` for a test, module or session.

    Args:
        node: The test, module or session; conftests beside it have a say, too.
    """

    def ask(name: str, declared_type: str) -> dict[str, Any]:
        from dlthub_project.secrets import KNOWN

        hook = node.ihook.pytest_dlt_replace_destination
        value = called(hook, name=name, declared_type=declared_type)
        # tracebacks show it as a local variable
        KNOWN.learn_look_up("destination", value, False)
        try:
            settings = settings_of(name, value)
            # subprocesses get it as JSON
            json.dumps(settings)
        except (pytest.UsageError, TypeError, ValueError) as error:
            raise refused(hook, str(error)) from None
        return settings

    return ask


def temporary(declared_type: str) -> str:
    """Return the type that replaces a destination if no test or plugin chooses one."""
    from dlthub_project.sandbox import temporary_type

    return temporary_type(declared_type)


def is_replaced_by_plugins(node: pytest.Item | pytest.Collector) -> bool:
    """Tell whether plugins of users, or conftests, replace destinations."""
    return bool(of_others(node.ihook.pytest_dlt_replace_destination))


def settings_of(name: str, value: Any) -> dict[str, Any]:
    """Return dlt's settings for a destination that a test or plugin has chosen.

    Args:
        name: The destination.
        value: A URL, a type or a mapping.

    Raises:
        UsageError: The value is no URL, type or mapping.
    """
    if isinstance(value, Mapping):
        settings = {(_TYPE if key == "type" else key): item for key, item in value.items()}
        return {_TYPE: name, **settings}
    if not isinstance(value, str):
        raise pytest.UsageError(
            f"dlt_destinations[{name!r}]: a URL, a type or a mapping is expected, "
            f"not {type(value).__name__}"
        )
    if "://" not in value:
        return {_TYPE: value}
    given = urlparse(value).scheme
    scheme = given.partition("+")[0]
    if scheme in _FILE_SCHEMES:
        return {_TYPE: "filesystem", "bucket_url": value}
    if scheme not in _SCHEME_TYPES:
        return {_TYPE: "sqlalchemy", "credentials": value}
    # testcontainers names SQLAlchemy's driver, which dlt's own destinations do not know
    return {_TYPE: _SCHEME_TYPES[scheme], "credentials": scheme + value[len(given) :]}
