"""Tests of given rows run in a sandbox of the plugin itself, and never reach a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_socket

from dlthub_project.sandbox import Sandbox, isolated
from pytest_dlthub import DltProject

OpenProject = Callable[..., DltProject]


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fail every test that opens a socket; event loops have theirs on the machine itself."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture
def open_project(
    write_project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenProject]:
    """Write a project, and open it as tests of it do: `open_project(manifest, files)`."""
    with contextlib.ExitStack() as stack:

        def open_it(*arguments: Any) -> DltProject:
            root = write_project(*arguments)
            monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
            folder = str(tmp_path / "sandbox")
            stack.enter_context(isolated(Sandbox(folder, str(root), str(root))))
            return DltProject(root)

        yield open_it
