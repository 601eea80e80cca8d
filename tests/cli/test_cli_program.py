"""The installed program itself, in a pseudo-terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import python

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = [*python(), str(Path(sys.executable).with_name("dlt"))]


def at_terminal(*arguments: str, typed: str = "") -> tuple[int, str]:
    """Run the program in a pseudo-terminal of 80 columns; return its status and what it shows."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while read := os.read(ours, 4096):
            shown += read
    except OSError:
        # Linux says so at the end
        pass
    os.close(ours)
    return process.wait(), shown.decode()


def test_at_a_terminal_tables_have_boxes_and_questions_an_answer(shop: Path) -> None:
    data = shop / "_data" / "dev" / "local" / "warehouse.duckdb"
    data.parent.mkdir(parents=True)
    data.touch()
    boxed = at_terminal("profile", "list")
    refused = at_terminal("project", "clean", typed="\n")
    kept = data.exists()
    agreed = at_terminal("project", "clean", typed="y\n")

    assert boxed[0] == 0
    assert "│ dev " in boxed[1]
    assert refused[0] == 4
    assert "Remove the local data of profile dev:" in refused[1]
    assert kept
    assert agreed[0] == 0
    assert not data.exists()


@pytest.mark.slow
def test_in_a_pipe_the_output_is_plain_and_may_end_early(shop: Path) -> None:
    dlt = shlex.join(PROGRAM)
    script = f"""
        {dlt} profile list | head -n 1
        {dlt} --help
        cd /
        {dlt} profile list; echo "status $?"
    """
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    lines = done.stdout.splitlines()

    assert lines[0].split() == ["profile", "is", "extends", "files"]
    assert lines[-1] == "status 3"
    for word in ("project", "profile", "source", "destination", "pipeline", "telemetry", "init"):
        assert any(line.split()[:1] == [word] for line in lines)
    assert "there is no dlt.yml in /" in done.stderr
    assert "Traceback" not in done.stderr
