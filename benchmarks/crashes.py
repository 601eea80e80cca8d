"""What the whole matrix of crashes of a small pipeline takes: one nested table, 13 points.

Each point is a run that is killed, one that goes on after it, and a comparison; two at a time.

    python benchmarks/crashes.py [ROUNDS]
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
from measuring import Figure, in_turn, main, taken

from dlthub_project.sandbox import Sandbox, isolated
from pytest_dlthub.dlt_run import DltRun


@dlt.resource(primary_key="id", write_disposition="merge")
def orders() -> Iterator[Any]:
    """Yield orders with their lines, merged by a key."""
    yield [{"id": number, "lines": [{"n": 1}, {"n": 2}]} for number in range(3)]


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    reached: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name, str(number), "sandbox") for number in itertools.count())

        def matrix() -> None:
            folder = next(folders)
            folder.mkdir(parents=True)
            with isolated(Sandbox(str(folder), None, os.getcwd())):
                found = DltRun().crashed(orders, runner="project")
            reached.append(len(found.reached))

        timed = in_turn({"matrix": matrix}, rounds)
    told = f"a kill at each of {min(reached)} points, one nested table, wall"
    yield taken(told, timed["wall", "matrix"], 5_000)


if __name__ == "__main__":
    main(figures, rounds=7)
