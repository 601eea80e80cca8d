"""What it costs to replay a recording, against the same rows through `given`, and to record a run.

Runs under `dlt_run`, in turn: five pages of rows from a function, recorded and not; and the same
rows from the files of a recording, and given from a list. The rows have texts, numbers and a date.

    python benchmarks/recordings.py [ROUNDS] [--rows ROWS]
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
from measuring import Figure, in_turn, main, ratio

from dlthub_project.sandbox import Sandbox, isolated
from dlthub_project.secrets import KNOWN
from pytest_dlthub.dlt_run import DltRun
from pytest_dlthub.recordings.record_options import Settings
from pytest_dlthub.recordings.recorder import Recorder, recorder_in

_PAGES = 5
_SERVED: list[Any] = []


def pages_of(rows: int) -> list[list[dict[str, Any]]]:
    """Return so many rows on five pages."""
    found = [
        {
            "id": number,
            "name": f"name {number}",
            "email": f"someone.{number}@shop.invalid",
            "total": number / 7,
            "at": f"2026-01-01T00:00:{number % 60:02}Z",
            "is_paid": number % 2 == 0,
            "lines": [{"n": 1, "text": f"a line of order {number}"}],
        }
        for number in range(rows)
    ]
    size = rows // _PAGES
    return [found[n * size : (n + 1) * size] for n in range(_PAGES)]


@dlt.resource
def orders() -> Iterator[Any]:
    """Yield what is served: a source has its rows from elsewhere, and not in its arguments."""
    yield from _SERVED


def figures(rounds: int, rows: int) -> Iterator[Figure]:
    """Measure."""
    # as in a session: without one, nothing would be looked for
    KNOWN.learn("a-token-of-the-shop-4711", is_secret=True)
    pages = pages_of(rows)
    _SERVED.extend(pages)

    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name, "runs", str(number)) for number in itertools.count())
        recorded = Path(name, "recorded")

        def run(given: Any, mode: str = "", to: Path | None = None) -> None:
            folder = next(folders)
            folder.mkdir(parents=True)
            sandbox = Sandbox(str(folder), None, os.getcwd())
            recorder = Recorder(to or recorded, Settings(mode=mode, masks=["email"]))
            with isolated(sandbox), recorder_in(sandbox, lambda: recorder):
                found = DltRun()(orders, given=given)
                assert found.row_counts["orders"] == rows
                if given == "recorded":
                    problem = recorder.finish(must_be_used=True, has_failed=False)
                    assert problem is None, problem

        run("recorded", "new")
        numbers = itertools.count()
        ways: dict[str, Callable[[], None]] = {
            "run": lambda: run(None),
            "recording": lambda: run("recorded", "new", Path(name, f"new{next(numbers)}")),
            "given": lambda: run({"orders": pages}),
            "replay": lambda: run("recorded"),
        }
        timed = in_turn(ways, rounds)
    for clock in ("wall", "processor"):
        for what, ours, plain in (
            ("replay against given", "replay", "given"),
            ("recording against the run", "recording", "run"),
        ):
            told = f"{what}, {rows:,} rows, {clock}"
            yield ratio(told, timed[clock, ours], timed[clock, plain], 1.1)


if __name__ == "__main__":
    main(figures, rounds=15, rows=1_000)
