"""Counts what the build of a template covers for each test that has a copy of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_dlthub.data_coverage import active_recorder, reads
from pytest_dlthub.data_coverage.facts import Facts
from pytest_dlthub.pipeline_run import PipelineRun

_FILE = "data-coverage.json"


@contextmanager
def noted(folder: Path) -> Iterator[list[PipelineRun]]:
    """Write what the runs of a block cover into the folder of a template, with `--dlt-cov`.

    Yields:
        A list, to be filled with the runs.
    """
    recorder = active_recorder.recorder()
    runs: list[PipelineRun] = []
    if recorder is None:
        yield runs
        return
    facts = Facts()
    with recorder.into(facts), reads.suppressed():
        yield runs
        for run in runs:
            recorder.finished(run.pipeline, run.load_info)
    found = {"facts": facts.to_json(), "loaded": recorder.loaded_here()}
    (folder / _FILE).write_text(json.dumps(found), encoding="utf-8")


def take(folder: Path) -> None:
    """Count what the build of a template has covered for the active test, which has a copy."""
    recorder = active_recorder.recorder()
    if recorder is None:
        return
    found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    recorder.add(Facts.from_json(found["facts"]))
    recorder.load_here(found["loaded"])


def key_of(text: str) -> str:
    """Return the key of a template: another one with `--dlt-cov`, which it has to serve."""
    return text if active_recorder.recorder() is None else f"{text}-covered"
