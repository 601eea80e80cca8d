"""Makes the sandbox of a test or session, with what marks, ini and `dlt_destinations` say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlthub_project.sandbox import Sandbox
from dlthub_project.secrets import KNOWN
from pytest_dlthub.activation import SESSION
from pytest_dlthub.destination_settings import (
    is_replaced_by_plugins,
    replacement_by,
    settings_of,
)
from pytest_dlthub.session_folder import folders_of_tests


def session_sandbox(
    request: pytest.FixtureRequest, folder: Path, destinations: Mapping[str, Any]
) -> Sandbox:
    """Return a sandbox in `folder`, for fixtures of wider scope too.

    Args:
        request: The request of the fixture; conftests beside it may replace destinations.
        folder: The folder.
        destinations: The value of the fixture `dlt_destinations`.
    """
    node: pytest.Item | pytest.Session = request.node
    session = request.config.stash[SESSION]
    for value in destinations.values():
        # tracebacks show them as arguments of fixtures
        KNOWN.learn_look_up("destination", value, False)
    return Sandbox(
        folder=str(folder),
        project=str(session.root) if session.root else None,
        working_dir=str(session.working_dir),
        local_roots=folders_of_tests(request),
        allowed=session.allowed,
        destinations={name: settings_of(name, value) for name, value in destinations.items()},
        loader_file_format=session.loader_file_format,
        profile=session.profile if session.root else None,
        secrets=session.secrets,
        replacement=replacement_by(node),
        is_replaced_by_plugins=is_replaced_by_plugins(node),
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
    sandbox = session_sandbox(request, folder, destinations)
    return replace(
        sandbox,
        allowed=(*sandbox.allowed, *allowed_here),
        every_type=every_type,
    )
