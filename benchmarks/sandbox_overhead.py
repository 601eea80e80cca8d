"""What the sandbox adds to one test of a project, in one process.

To a test that does not touch dlt, though dlt is imported, and to one that does: finding context,
providers and manifest anew, and putting everything back.

    python benchmarks/sandbox_overhead.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt

from dlthub_project.sandbox import Sandbox, isolated

_MANIFEST = """
sources: {orders: {type: shop.orders}}
destinations: {warehouse: {type: postgres}}
pipelines: {load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}}
"""


def milliseconds(sandbox: Sandbox, touch_dlt: bool) -> float:
    """Return the time of one empty test in its sandbox."""
    start = time.perf_counter()
    with isolated(sandbox):
        if touch_dlt:
            dlt.current.run_context()
    return 1000 * (time.perf_counter() - start)


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name, "shop")
        project.mkdir()
        (project / "dlt.yml").write_text(_MANIFEST)
        os.chdir(project)
        for touch_dlt, reach in ((False, 0.1), (True, 8.0)):
            values = [
                milliseconds(
                    Sandbox(str(Path(name, f"{n}-{touch_dlt}")), str(project), name), touch_dlt
                )
                for n in range(rounds + 3)
            ][3:]
            low, median, high = statistics.quantiles(values, n=4)
            kind = "touches dlt" if touch_dlt else "does not touch dlt"
            print(
                f"a test that {kind}: {median:.3f} ms "
                f"(quartiles {low:.3f} to {high:.3f}; reach: {reach} ms)"
            )
        os.chdir(name)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
