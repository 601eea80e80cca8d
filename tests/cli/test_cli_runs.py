"""What `dlt project run` shows of many pipelines: while they run, and at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

from dlthub_project import PipelinesInterrupted
from dlthub_project.data_quality import CheckResult
from dlthub_project.runner import (
    PipelineEvent,
    PipelineFailure,
    PipelineManager,
    PipelineResult,
    PipelineResults,
)

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]

TWO = """
    pipelines:
      load_a: {destination: duckdb}
      load_b: {destination: duckdb}
"""
CHECKS = (
    CheckResult("orders", "is_unique", 3, 2, "error", False),
    CheckResult("orders", "between", 3, 0, "warn", True),
    CheckResult("lines", "is_in", 0, 0, "error", False, error="no such table"),
    CheckResult("parts", "is_in", 0, 0, "warn", True, unchecked="no rows"),
)
FAILED = "orders: is_unique: 2 of 3 rows fail; lines: is_in cannot be checked: no such table"
RESULTS = {
    "load_a": PipelineResult(
        "load_a",
        "failed",
        error=PipelineFailure("LoadFailedChecks", "2 checks have failed"),
        row_counts={"orders": 1234},
        seconds=1.25,
        checks=CHECKS,
    ),
    "load_b": PipelineResult("load_b", "skipped", error=PipelineFailure("", "it was stopped")),
}


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have pipelines of this project end with some results, while a function looks on."""

    def ends(
        results: Mapping[str, PipelineResult],
        look: Callable[[], None] = lambda: None,
        error: type[PipelinesInterrupted] | None = None,
    ) -> None:
        def run_pipelines(_: PipelineManager, names: Any, *, hear: Any, **named: Any) -> Any:
            for name, result in results.items():
                hear(PipelineEvent(name, "started"))
                hear(PipelineEvent(name, "extract"))
                look()
                hear(PipelineEvent(name, "done", result))
            found = PipelineResults(results)
            if error is not None:
                raise error(found)
            return found

        monkeypatch.setattr(PipelineManager, "run_pipelines", run_pipelines)

    return ends


def test_checks_that_have_failed_are_told_with_what_was_loaded(
    write_project: WriteProject, dlt_main: DltProgram, ends_with: Callable[..., None]
) -> None:
    write_project(TWO)
    ends_with(RESULTS)
    done = dlt_main("project", "run", "--format", "json")

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "load_a: started",
        f"load_a: failed, 1234 rows: {FAILED} (1.2 s)",
        "load_b: started",
        "load_b: skipped: it was stopped",
    ]
    first, second = json.loads(done.stdout)["pipelines"]
    assert [(one["status"], one["rows"], one["failing"]) for one in first["checks"]] == [
        ("failed", 3, 2),
        ("passed", 3, 0),
        ("error", None, None),
        ("unchecked", 0, 0),
    ]
    assert [one["error"] for one in first["checks"]] == [None, None, "no such table", "no rows"]
    assert (second["status"], second["rows"], second["checks"]) == ("skipped", {}, [])


def test_after_an_interrupt_it_is_told_what_has_become_of_each(
    write_project: WriteProject, dlt_main: DltProgram, ends_with: Callable[..., None]
) -> None:
    write_project(TWO)
    ends_with(RESULTS, error=PipelinesInterrupted)
    done = dlt_main("project", "run")

    assert done.returncode == 130
    assert "Interrupted. What is extracted is loaded by the next run." in done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["load_a", "failed"],
        ["load_b", "skipped"],
    ]


def test_on_a_terminal_a_table_says_what_each_pipeline_is_at(
    write_project: WriteProject,
    dlt_main: DltProgram,
    ends_with: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_project(TWO)
    terminal = Terminal()
    shown: list[str] = []

    def look() -> None:
        # as it is drawn some times a second
        live.refresh()
        shown.append(terminal.getvalue())

    from rich.live import Live

    class Seen(Live):
        def start(self, refresh: bool = False) -> None:
            nonlocal live
            live = self
            super().start(refresh)

    live: Any = None
    monkeypatch.setattr("rich.live.Live", Seen)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    uncounted = {name: PipelineResult(name, "loaded", row_counts=None) for name in RESULTS}
    ends_with({"load_a": RESULTS["load_a"], "load_b": uncounted["load_b"]}, look)
    done = dlt_main("project", "run")

    first, second = ([" ".join(line.split()) for line in text.splitlines()] for text in shown)
    assert any("load_a │ extract │ │ 0.0" in line for line in first)
    assert any("load_b │ waits │ │" in line for line in first)
    assert any("load_a │ failed │ 1,234 │ 1.2" in line for line in second)
    # at the end it is gone, and no lines were printed beside it
    assert "load_a: started" not in terminal.getvalue()
    assert "load_b    loaded  -" in done.stdout


def test_a_project_without_pipelines_says_so(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project("{}")
    done = dlt_main("project", "run")

    assert (done.returncode, done.stdout) == (0, "The project declares no pipeline.\n")
