"""What the sandbox adds to one test of a project, in one process.

To a test that does not touch dlt, though dlt is imported, and to one that does: finding context,
providers and manifest anew, and putting everything back.

    python benchmarks/sandbox_overhead.py [ROUNDS]
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
from measuring import Figure, main, taken

from dlthub_project.sandbox import Sandbox, isolated

_MANIFEST = """
sources: {orders: {type: shop.orders}}
destinations: {warehouse: {type: postgres}}
pipelines: {load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}}
"""


def seconds(sandbox: Sandbox, touch_dlt: bool) -> float:
    """Return the time of one empty test in its sandbox."""
    start = time.perf_counter()
    with isolated(sandbox):
        if touch_dlt:
            dlt.current.run_context()
    return time.perf_counter() - start


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name, "shop")
        project.mkdir()
        (project / "dlt.yml").write_text(_MANIFEST)
        os.chdir(project)
        for touch_dlt, reach in ((False, 0.1), (True, 8.0)):
            values = [
                seconds(Sandbox(str(Path(name, f"{n}-{touch_dlt}")), str(project), name), touch_dlt)
                for n in range(rounds + 3)
            ][3:]
            kind = "touches dlt" if touch_dlt else "does not touch dlt"
            yield taken(f"the sandbox of a test that {kind}", values, reach)
        os.chdir(name)


if __name__ == "__main__":
    main(figures, rounds=100)
