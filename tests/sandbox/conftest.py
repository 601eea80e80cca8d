"""What the tests of sandboxes share: sandboxes, and a server that nobody may talk to."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlthub_project.sandbox import Sandbox

MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def make_sandbox(tmp_path: Path) -> MakeSandbox:
    """Make a sandbox in a folder of its own: `make_sandbox("inner", allowed=("warehouse",))`."""

    def make(
        name: str = "sandbox",
        *,
        project: Path | None = None,
        working_dir: Path | None = None,
        **settings: Any,
    ) -> Sandbox:
        folder = str(tmp_path / name)
        started_in = str(working_dir or project or tmp_path)
        return Sandbox(folder, str(project) if project else None, started_in, **settings)

    return make


class Listener:
    """A server on loopback that counts who connects, and answers nothing."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.port: int = server.getsockname()[1]

    @property
    def connections(self) -> int:
        """How many have connected until now."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._server.accept()
                connection.close()
                count += 1
        return count


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A server that a test may be about to reach, and must not."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        server.setblocking(False)
        yield Listener(server)
