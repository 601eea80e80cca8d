"""Forks in the stead of new processes, as tests start them: what they are to whoever starts one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import fork_of, python, start_server

from dlthub_project.sandbox import Sandbox, isolated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are started")


def run(code: str, *arguments: str, cwd: Path, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python(), "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, **given},
        input="a line\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fork_is_as_a_new_process_to_its_code(tmp_path: Path) -> None:
    code = """if True:
        import os, sys, threading
        print(input(), sys.argv, os.getcwd(), os.environ["GIVEN"], __name__)
        print(sys.path[0] == "", sys.path[1])
        print([m for m in ("dlt", "dlthub_project", "pytest_dlthub", "duckdb") if m in sys.modules])
        print(len(os.listdir("/proc/self/task")), sorted(map(int, os.listdir("/proc/self/fd")))[:3])
        print("an error", file=sys.stderr)
        sys.exit(3)
    """

    done = run(code, "x", cwd=tmp_path, GIVEN="given", PYTHONPATH="/on/path")

    assert done.stdout.splitlines() == [
        f"a line ['-c', 'x'] {tmp_path} given __main__",
        "True /on/path",
        "[]",
        "1 [0, 1, 2]",
    ]
    assert (done.stderr, done.returncode) == ("an error\n", 3)


def test_a_fork_ends_as_its_code_does(tmp_path: Path) -> None:
    failed = run("raise ValueError('no')", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.endswith("ValueError: no\n")
    killed = run("import os; os.kill(os.getpid(), 9)", cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL


def test_a_server_that_a_test_has_started_keeps_no_fork_in_its_sandbox(tmp_path: Path) -> None:
    with isolated(Sandbox(str(tmp_path / "sandbox"), str(tmp_path), str(tmp_path))):
        server = start_server()

    code = "from dlthub_project.sandbox import active_sandbox; print(active_sandbox())"
    done = subprocess.run(
        [*fork_of(server), "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "None\n"


def test_a_fork_gets_the_signals_of_its_client() -> None:
    code = "import time\ntry: print('ready', flush=True); time.sleep(60)\n"
    code += "except KeyboardInterrupt: print('stopped')"
    with subprocess.Popen([*python(), "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("stopped\n", None)
        assert process.returncode == 0


def test_a_fork_does_not_outlive_its_client() -> None:
    code = "import time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([*python(), "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
        # read to the end: nobody holds it any more
        assert process.communicate() == ("", None)
