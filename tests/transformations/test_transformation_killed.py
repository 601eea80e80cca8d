"""A transformation that is killed at some point: the next run brings each row exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import killed_transformation
import pytest
from processes import python

SCRIPT = Path(killed_transformation.__file__)
MANIFEST = """
    destinations:
      warehouse: {type: duckdb}
      store: {type: STORE}
      vault: {type: duckdb}
    datasets:
      shop_data: {destination: [warehouse]}
      reports: {destination: [store]}
      archive: {destination: [vault]}
    pipelines:
      load_orders: {destination: warehouse, dataset_name: shop_data}
    caches:
      orders_cache:
        inputs: [{dataset: shop_data}]
        outputs:
          - {dataset: reports, tables: {orders_seen: orders_seen}}
          - {dataset: reports, tables: {totals: totals}, write_disposition: replace}
          - {dataset: archive, tables: {orders_seen: orders_kept}}
    transformations:
      report: {engine: sql, cache: orders_cache}
"""
FILES = {
    "transformations/report/orders_seen.sql": "SELECT id, price FROM orders",
    "transformations/report/totals.sql": "SELECT count(*) AS orders FROM orders",
}
SLOW = [point for point in killed_transformation.POINTS if point != "before a job is marked"]


def kill_and_run_again(folder: Path, point: str, **environment: str) -> dict[str, list[int]]:
    """Run the script until it is killed, and once more; return the rows of the outputs."""

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*python(), str(SCRIPT)],
            cwd=folder,
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    dead = run(KILL=point)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    done = run(**environment)
    assert done.returncode == 0, done.stderr
    assert "may be there twice" not in done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    ["before a job is marked", *(pytest.param(point, marks=pytest.mark.slow) for point in SLOW)],
)
def test_each_row_is_there_once(write_project: Callable[..., Path], point: str) -> None:
    folder = write_project(MANIFEST.replace("STORE", "duckdb"), FILES)

    found = kill_and_run_again(folder, point)

    ids = [10 * batch + n for batch in (1, 2, 3) for n in range(3)]
    assert found == {"orders_seen": ids, "orders_kept": ids, "totals": [9]}


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before a job is marked", "between two datasets"])
def test_each_row_is_there_once_where_the_cache_is_lost(
    write_project: Callable[..., Path], point: str
) -> None:
    folder = write_project(MANIFEST.replace("STORE", "duckdb"), FILES)

    found = kill_and_run_again(folder, point, LOSE="yes")

    ids = [10 * batch + n for batch in (1, 2, 3) for n in range(3)]
    assert found == {"orders_seen": ids, "orders_kept": ids, "totals": [9]}


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before a job is marked", "after the last job"])
def test_each_row_is_there_once_in_files(write_project: Callable[..., Path], point: str) -> None:
    store = "filesystem, bucket_url: lake"
    folder = write_project(MANIFEST.replace("STORE", store), FILES)

    found = kill_and_run_again(folder, point)

    ids = [10 * batch + n for batch in (1, 2, 3) for n in range(3)]
    assert found == {"orders_seen": ids, "orders_kept": ids, "totals": [9]}
