"""The command of a Python that starts soon: as a fork of one that has imported its libraries.

`[*python(), "-c", code]` for `[sys.executable, "-c", code]`, wherever it is a process of its own
that a test needs, and not a Python without anything imported, with another seed of its hashes, or
with options.
"""

from __future__ import annotations

import atexit
import functools
import os
import socket
import subprocess
import sys
from pathlib import Path

from dlthub_project.sandbox import ENVIRONMENT_VARIABLE

_SUPPORT = Path(__file__).parent
_NOT_FOR_SERVER = ("MEASURE_INTO", "PYTHONPATH")


def python() -> list[str]:
    """Return the words of the command, before the arguments of Python."""
    if sys.platform != "linux":
        return [sys.executable]
    return fork_of(_server())


def fork_of(server: str) -> list[str]:
    """Return the words of the command that has a server start a fork."""
    return [sys.executable, "-I", "-S", str(_SUPPORT / "in_fork.py"), server]


def with_forks(code: str) -> str:
    """Return the code of a nested session; what it starts by `[sys.executable, …` are forks."""
    return code.replace("[sys.executable, ", f"[*{python()!r}, ")


def start_server() -> str:
    """Start a server, which ends with this process; return where it listens."""
    lifeline, ours = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        # any name that nobody has
        listener.bind("")
        listener.listen(64)
        environment = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_SERVER}
        server = subprocess.Popen(
            [
                # a test may start it in a sandbox, which is in the environment of each child; what
                # a fork has been started with is what the server has been started with
                *("env", f"--unset={ENVIRONMENT_VARIABLE}"),
                *(sys.executable, str(_SUPPORT / "fork_server.py")),
                *(str(listener.fileno()), str(lifeline)),
            ],
            cwd=_SUPPORT,
            # a process with threads cannot be forked
            env={
                **environment,
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
                "JE_ARROW_MALLOC_CONF": "background_thread:false",
            },
            pass_fds=[listener.fileno(), lifeline],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(lifeline)
        atexit.register(lambda: (os.close(ours), server.wait()))
        return str(listener.getsockname()[1:], "ascii")


# one for this process
_server = functools.cache(start_server)
