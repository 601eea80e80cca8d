"""What a test says about destinations: in its marks, the ini file and `dlt_destinations`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from dlthub_project.sandbox import Sandbox
from dlthub_project.secrets import KNOWN
from pytest_dlthub.activation import SESSION

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


def session_sandbox(
    config: pytest.Config, folder: Path, destinations: Mapping[str, Any]
) -> Sandbox:
    """Return a sandbox in `folder` for fixtures of wider scope."""
    session = config.stash[SESSION]
    for value in destinations.values():
        # in a traceback, they are arguments of fixtures
        KNOWN.learn_look_up("destination", value, False)
    return Sandbox(
        folder=str(folder),
        project=str(session.root) if session.root else None,
        working_dir=str(session.working_dir),
        allowed=session.allowed,
        destinations={name: settings_of(name, value) for name, value in destinations.items()},
        loader_file_format=session.loader_file_format,
        profile=session.profile if session.root else None,
        secrets=session.secrets,
    )


def sandbox_of_test(
    request: pytest.FixtureRequest,
    folder: Path,
    destinations: Mapping[str, Any],
    every_type: str | None,
) -> Sandbox:
    """Return the sandbox of one test in `folder`; its marks allow more than the session does."""
    marks = request.node.iter_markers("dlt_allow_remote")
    allowed_here = [name for mark in marks for name in mark.args]
    sandbox = session_sandbox(request.config, folder, destinations)
    return replace(
        sandbox,
        allowed=(*sandbox.allowed, *allowed_here),
        # what tests write to their own tmp_path is theirs
        local_roots=(str(_base_of_tmp_path(request)),),
        every_type=every_type,
    )


def settings_of(name: str, value: Any) -> dict[str, Any]:
    """Return dlt's settings for a value of `dlt_destinations`.

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
    scheme = urlparse(value).scheme.partition("+")[0]
    if scheme in _FILE_SCHEMES:
        return {_TYPE: "filesystem", "bucket_url": value}
    return {_TYPE: _SCHEME_TYPES.get(scheme, "sqlalchemy"), "credentials": value}


def _base_of_tmp_path(request: pytest.FixtureRequest) -> Path:
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    return factory.getbasetemp()
