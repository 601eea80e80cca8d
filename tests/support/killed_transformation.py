"""A script that transforms two batches, and is killed where `KILL` says while it does the second.

Run by `transformations/test_transformation_killed.py`, in a folder with a project.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

import dlt
from dlt.common.storages import LoadStorage
from dlt.common.storages.load_package import PackageStorage
from dlt.extract.extract import Extract
from dlt.load.load import Load

from dlthub_project import current
from dlthub_project.transformations import Cache
from dlthub_project.transformations.cache_outputs import OutputDataset

TABLES = (("reports", "orders_seen"), ("reports", "totals"), ("archive", "orders_kept"))
armed = False


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: type, name: str) -> None:
    _wrap(owner, name, is_before=True)


def after(owner: type, name: str) -> None:
    _wrap(owner, name, is_before=False)


def _wrap(owner: type, name: str, *, is_before: bool) -> None:
    wrapped = getattr(owner, name)

    def killing(*arguments: Any, **named: Any) -> Any:
        if armed and is_before:
            die()
        outcome = wrapped(*arguments, **named)
        if armed:
            die()
        return outcome

    setattr(owner, name, killing)


POINTS: dict[str, Callable[[], None]] = {
    "between populate and transform": lambda: before(Cache, "transform"),
    "between transform and flush": lambda: before(Cache, "flush"),
    "before the extracted package is there": lambda: before(Extract, "commit_packages"),
    "before the state is saved": lambda: after(Extract, "commit_packages"),
    "between normalize and load": lambda: before(dlt.Pipeline, "load"),
    "before a job is marked": lambda: before(PackageStorage, "save_pending_transition"),
    "between jobs": lambda: after(PackageStorage, "complete_job"),
    "after the last job": lambda: before(Load, "complete_package"),
    "after the load is entered": lambda: before(LoadStorage, "complete_load_package"),
    "between two datasets": lambda: after(OutputDataset, "write"),
}


def load(batch: int) -> None:
    rows = [{"id": 10 * batch + n, "price": 1} for n in range(3)]
    current.runner().run_pipeline("load_orders", data=dlt.resource(rows, name="orders"))


def transform() -> None:
    current.entities().get_transformation("report").run()


def main() -> None:
    global armed
    if point := os.environ.get("KILL"):
        POINTS[point]()
        load(1)
        transform()
        load(2)
        armed = True
        transform()
        return
    if os.environ.get("LOSE"):
        # what was not in the destinations yet is made again
        shutil.rmtree(os.path.join(current.config().data_dir, "caches"))
    transform()
    transform()
    load(3)
    transform()
    found = {}
    for dataset, table in TABLES:
        column = "orders" if table == "totals" else "id"
        rows = current.catalog()[dataset][table].select(column).fetchall()
        found[table] = sorted(row[0] for row in rows)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
