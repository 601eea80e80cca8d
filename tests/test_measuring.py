"""What `make test` says of coverage is what processes have run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from coverage_report import covered, main

ROOT = Path(__file__).parents[1]
ROOM = "dlthub_project/secrets"
CODE = """
import os, sys
from dlthub_project.secrets import public_url
if os.fork() == 0:
    {in_child}
    os._exit(0)
os.wait()
"""


def files_of(folder: Path, in_child: str = "pass") -> list[dict[str, list[object]]]:
    """Return what a process and its fork wrote."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    measuring = str(ROOT / "tests/support/measuring")
    subprocess.run(
        [sys.executable, "-c", CODE.format(in_child=in_child)],
        env={**kept, "MEASURE_INTO": str(folder), "PYTHONPATH": measuring},
        cwd=folder,
        check=True,
    )
    return [json.loads(file.read_text()) for file in folder.glob("*.json")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no forks")
def test_what_a_process_and_its_fork_ran_is_covered_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    imported = files_of(tmp_path / "a")
    called = files_of(tmp_path / "b", "public_url('https://shop.invalid')")

    assert len(imported) == len(called) == 2
    before, after = (covered(files, [ROOM])["files"] for files in (imported, called))
    masking = f"{ROOM}/masking.py"
    assert before[masking]["executed_lines"]
    assert len(before[masking]["missing_lines"]) > len(after[masking]["missing_lines"]) > 0
    # what nobody imported counts, too
    nothing = covered([], [ROOM])
    assert nothing["files"][masking]["missing_lines"]
    assert nothing["summary"]["percent_covered"] == 0
    monkeypatch.setattr("coverage_report.covered", partial(covered, folders=[ROOM]))
    assert main([str(tmp_path / "b"), "--fail-under", "95"]) == 1
    assert "at least 95 % is asked for" in capsys.readouterr().err
    assert main([str(tmp_path / "b"), "--fail-under", "0.1"]) == 0
