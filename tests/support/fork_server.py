"""Starts Python programs as forks of a process that has imported what dlt and pytest import.

To import that costs each new process a second. Neither dlt, plugins of pytest nor this project are
imported here: a program does that itself, as in a new process. What it does not have of its own
is the seed of its hashes and the options of Python. `processes.py` starts this server with a socket
that listens and a pipe that is closed when it is to end; `in_fork.py` is its client.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import multiprocessing.process
import os
import runpy
import selectors
import signal
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

LIBRARIES = (
    "asyncio",
    "bdb",
    "concurrent.futures",
    "croniter",
    "fsspec",
    "giturlparse",
    "humanize",
    "jsonpath_ng.ext",
    "multiprocessing.pool",
    "orjson",
    "packaging.requirements",
    "pandas",
    "pathvalidate",
    "pendulum",
    "pendulum.locales.en.locale",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "pytest",
    "requests",
    "rich.console",
    "rich.traceback",
    "semver",
    "sqlalchemy",
    "sqlglot.dialects.duckdb",
    "sqlglot.dialects.postgres",
    "sqlglot.optimizer.qualify",
    "tenacity",
    "tomlkit",
    "unittest.mock",
    "yaml",
)


class Programs:
    """The programs that run, and the clients that wait for them."""

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        """Listen for clients until the lifeline is closed."""
        self._listener = listener
        self._lifeline = lifeline
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, socket.socket] = {}
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)

    def serve(self) -> Callable[[], Any] | None:
        """Start a program for each client; return it in the new process, nothing at the end."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakes)
        for file in (self._listener, self._lifeline, self._woken):
            self._selector.register(file, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    if program := self._start(self._listener.accept()[0]):
                        return program
                elif key.fileobj == self._lifeline:
                    return None
                elif key.fileobj == self._woken:
                    os.read(self._woken, 1024)
                    self._tell_of_ends()
                else:
                    self._pass_signal_on(key.data)

    def _start(self, client: socket.socket) -> Callable[[], Any] | None:
        with client.makefile("rb") as stream:
            files = socket.recv_fds(client, 1, 3)[1]
            request = json.loads(stream.readline())
        pid = os.fork()
        if not pid:
            return self._become(request, files, client)
        for file in files:
            os.close(file)
        self._clients[pid] = client
        self._selector.register(client, selectors.EVENT_READ, pid)
        return None

    def _pass_signal_on(self, pid: int) -> None:
        client = self._clients[pid]
        number = client.recv(1)
        if not number:
            self._selector.unregister(client)
        with contextlib.suppress(ProcessLookupError):
            # a client that is gone was killed
            os.kill(pid, number[0] if number else signal.SIGKILL)

    def _tell_of_ends(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitpid(-1, os.WNOHANG):
                pid, status = ended
                if not pid:
                    return
                client = self._clients.pop(pid)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(str(status).encode())
                client.close()

    def _become(
        self, request: dict[str, Any], files: list[int], client: socket.socket
    ) -> Callable[[], Any]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        for other in (client, self._listener, *self._clients.values()):
            other.close()
        self._selector.close()
        for pipe in (self._lifeline, self._woken, self._wakes):
            os.close(pipe)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        # what new processes of this one take for the folder that it started in
        multiprocessing.process.ORIGINAL_DIR = request["cwd"]
        return prepare(request["arguments"])


def prepare(arguments: list[str]) -> Callable[[], Any]:
    """Have this process be as Python is that starts with `arguments`; return its program."""
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    is_unbuffered = arguments[0] == "-u"
    if is_unbuffered or os.environ.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    first, *others = arguments = arguments[is_unbuffered:]
    main = types.ModuleType("__main__")
    if first in ("-c", "-m"):
        what, *others = others
        sys.argv = [first, *others]
    else:
        sys.argv = arguments
    on_path = {"-c": "", "-m": os.getcwd()}.get(first, os.path.dirname(os.path.abspath(first)))
    of_environment = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:] = [on_path, *map(os.path.abspath, of_environment), *sys.path]
    importlib.invalidate_caches()
    # as Python does at its start
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")
    if first == "-m":
        return lambda: runpy.run_module(what, run_name="__main__", alter_sys=True)
    sys.modules["__main__"] = main
    if first == "-c":
        return lambda: exec(compile(what, "<string>", "exec"), vars(main))
    return lambda: runpy.run_path(first, run_name="__main__")


def import_libraries() -> None:
    """Import what programs need, as far as it is installed."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # not `gc.freeze`: what a program leaves in a cycle with a frozen object outlives Python itself,
    # and DuckDB's import cache then crashes at exit
    gc.collect()


if __name__ == "__main__":
    # the folder of this script, which no program has
    del sys.path[0]
    import_libraries()
    run = Programs(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).serve()
    if run is not None:
        run()
