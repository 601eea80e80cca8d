"""Ctrl-C in `dlt project run`, as a terminal sends it: nothing is lost, and nothing doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import python

from dlthub_project import current

pytestmark = pytest.mark.slow

SHOP = """
    import os
    import time
    from pathlib import Path

    import dlt


    @dlt.source
    def orders(first: int):
        @dlt.resource(write_disposition="append")
        def rows():
            Path(f"extracting_{first}").touch()
            for number in range(first, first + 10):
                yield {"id": number}
                time.sleep(float(os.environ.get("PAUSE", "0")))

        return rows
"""
FOUR = "".join(
    (
        "sources:",
        *(f"\n  s{n}: {{type: shop.orders, first: {10 * n}}}" for n in range(4)),
        "\ndestinations:",
        *(f"\n  d{n}: {{type: duckdb}}" for n in range(4)),
        "\npipelines:",
        *(
            f"\n  load_{n}: {{source: s{n}, destination: d{n}, dataset_name: raw_{n}}}"
            for n in range(4)
        ),
    )
)


def started(root: Path, pause: float) -> subprocess.Popen[str]:
    """Start `dlt project run` in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [*python(), "-m", "dlt", "project", "run", "--workers", "2", "--format", "json"],
        cwd=root,
        env={**os.environ, "PAUSE": str(pause)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(*files: Path) -> None:
    deadline = time.monotonic() + 120
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline, "the pipelines did not start"
        time.sleep(0.05)


@pytest.mark.parametrize("times", [1, 2])
def test_after_ctrl_c_the_next_run_goes_on(times: int, write_project: Callable[..., Path]) -> None:
    root = write_project(FOUR, {"sources/shop.py": SHOP})
    run = started(root, pause=30)
    wait_for(root / "extracting_0", root / "extracting_10")
    pressed = time.monotonic()
    for _ in range(times):
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.5)
    out, err = run.communicate(timeout=120)

    assert run.returncode == 130, err
    assert not (root / "extracting_20").exists()
    if times == 1:
        told = {one["name"]: one["status"] for one in json.loads(out)["pipelines"]}
        assert told == {
            "load_0": "interrupted",
            "load_1": "interrupted",
            "load_2": "skipped",
            "load_3": "skipped",
        }
    else:
        assert time.monotonic() - pressed < 20

    out, err = started(root, pause=0).communicate(timeout=120)
    assert [one["status"] for one in json.loads(out)["pipelines"]] == ["loaded"] * 4, err
    for number in range(4):
        rows = current.catalog().dataset(f"raw_{number}")["rows"].select("id").fetchall()
        assert sorted(row[0] for row in rows) == list(range(10 * number, 10 * number + 10))
