"""Processes of this machine that run pipelines, and tell which step each has reached."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

# how long a worker that has lost its parent may need to stop at a safe point, in seconds
_GRACE = 60

_is_idle = threading.Event()
_is_idle.set()


class WorkerProcesses(Executor):
    """A pool of new processes. If a worker dies, the requests of the others can run again.

    `submit` calls its function with one more argument: a function that tells the client a step.
    """

    def __init__(self, workers: int, tell: Callable[[str, str], None]) -> None:
        """Start nothing yet; processes start with the first requests.

        Args:
            workers: How many processes there are at most.
            tell: Called with the name of a pipeline and the step that it starts, in a thread.
        """
        self._workers = workers
        self._tell = tell
        self._pids: set[int] = set()
        # datagrams: a worker that is killed while it sends holds no lock
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._pool = self._new_pool()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function in a process; a pool that a dead worker has broken is made anew."""
        try:
            return self._pool.submit(_run, fn, args, kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=True)
            self._pool = self._new_pool()
            return self._pool.submit(_run, fn, args, kwargs)

    def interrupt(self) -> None:
        """Send SIGINT to the workers: what they run stops at its next safe point."""
        # on Windows the console sends it, and `os.kill` would end the workers at once
        if os.name == "posix":
            self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End all workers at once."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers when they are done."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        with suppress(OSError):
            self._socket.sendto(b"", self._socket.getsockname())
        self._listener.join()
        self._socket.close()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            # forks of a process with threads, which DuckDB and Arrow have, may hang
            _Context(),
            _start_worker,
            (self._socket.getsockname(),),
        )

    def _signal(self, number: int) -> None:
        alive = {child.pid for child in multiprocessing.active_children()}
        for pid in self._pids & alive:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _listen(self) -> None:
        while data := self._socket.recv(65536):
            pid, pipeline, step = json.loads(data)
            self._pids.add(pid)
            if pipeline:
                self._tell(pipeline, step)


class _Process(SpawnProcess):
    """A process that does not import the client's main module, because it needs nothing of it.

    A script without `if __name__ == "__main__":` would run once more in each worker.
    """

    def start(self) -> None:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Context(SpawnContext):
    Process = _Process


_address: tuple[str, int] | None = None


def _start_worker(address: tuple[str, int]) -> None:
    global _address
    _address = address
    # Ctrl-C in a terminal reaches the client alone, which tells the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    _send("", "")


def _run(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _is_idle.clear()
    try:
        return fn(*args, partial(_send), **kwargs)
    finally:
        _is_idle.set()


def _send(pipeline: str, step: str) -> None:
    assert _address is not None
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(json.dumps((os.getpid(), pipeline, step)).encode(), _address)


def _outlive_nobody() -> None:
    """Stop at a safe point if the client has died: nobody would hear of the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        interrupt_oneself()
        _is_idle.wait(_GRACE)
        # this ends the whole process, and not only this thread
        os.kill(os.getpid(), signal.SIGTERM)


def interrupt_oneself() -> None:
    """Have what this process runs stop at its next safe point."""
    if os.name == "posix":
        # to the process and not by `raise_signal`: it also wakes a main thread that waits
        os.kill(os.getpid(), signal.SIGINT)
    else:
        # on Windows `os.kill` would end the process at once
        signal.raise_signal(signal.SIGINT)
