"""A script that loads batches until three are there, and is killed where `KILL` says.

Run by `test_faults_killed.py`. Each run loads the next batch: of four tables, one for each way to
write, with nested tables two deep. `KILL` is one of the points that tests of users have, or one
that is seen in more than one place of dlt: then it wraps the function of dlt there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dlt
from dlt.common.storages import LoadStorage
from dlt.common.storages.load_package import PackageStorage
from dlt.extract.extract import Extract

from dlthub_project.dlt_internals.fault_points import listening
from dlthub_project.faults import Strike, chosen_points
from dlthub_project.runner import runner
from dlthub_project.runner.resume import finish_pending

BATCHES = 3
WAYS: dict[str, Any] = {
    "appended": "append",
    "replaced": "replace",
    "merged": "merge",
    "versioned": {"disposition": "merge", "strategy": "scd2"},
}

# the first batch is there; it is the second that is interrupted
armed = bool(os.environ.get("FRESH"))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def rows_of(batch: int) -> list[dict[str, Any]]:
    """One row that every batch has, and one of its own; each with two lines of one part each."""
    return [
        {
            "id": key,
            "batch": batch,
            "lines": [
                {"line": f"{key}/{batch}/{n}", "parts": [{"part": f"{key}/{batch}/{n}"}]}
                for n in (1, 2)
            ],
        }
        for key in (1, 10 + batch)
    ]


@dlt.source
def shop(names: list[str]) -> Iterator[Any]:
    def items(name: str) -> Iterator[Any]:
        # not that of the resource: dlt forgets it where a table is replaced
        state = dlt.current.source_state()
        state[name] = state.get(name, -1) + 1
        yield from rows_of(state[name])

    for name in names:
        yield dlt.resource(
            items(name),
            name=name,
            write_disposition=WAYS[name],
            primary_key=None if name == "versioned" else "id",
        )


def before(owner: type, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    wrapped = getattr(owner, name)

    def killing(*arguments: Any, **named: Any) -> Any:
        if armed and when(*arguments):
            die()
        return wrapped(*arguments, **named)

    setattr(owner, name, killing)


def after(owner: type, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    wrapped = getattr(owner, name)

    def killing(*arguments: Any, **named: Any) -> Any:
        outcome = wrapped(*arguments, **named)
        if armed and when(*arguments):
            die()
        return outcome

    setattr(owner, name, killing)


def jobs_marked(count: int) -> Callable[..., bool]:
    """Be true when the destination has committed one job more than `count` that are marked."""
    marked: list[str] = []

    def when(*_: Any) -> bool:
        marked.append("one")
        return len(marked) > count

    return when


def of_table(name: str) -> Callable[..., bool]:
    return lambda _, __, file_name, *___: file_name.startswith(f"{name}.")


STRUCK = {
    "in extract": "extract",
    "before the state is saved": "extracted",
    "between extract and normalize": "before_normalize",
    "in normalize": "normalize",
    "at the end of normalize": "normalized",
    "before the first job": "before_job",
    "before any job is marked": "commit",
    "before any follow-up is marked": "merge_commit",
    "between jobs": "between_jobs",
    "between data and state": "before_state",
    "after the last job": "after_jobs",
    "after the load is entered": "entered",
}
WRAPPED: dict[str, Callable[[], None]] = {
    "before the extracted package is there": lambda: before(Extract, "commit_packages"),
    "between normalize and load": lambda: before(dlt.Pipeline, "load"),
    "before the tables are noted": lambda: before(LoadStorage, "commit_schema_update"),
    "before a job is marked": lambda: before(
        PackageStorage, "save_pending_transition", of_table("appended")
    ),
    "before a nested job is marked": lambda: before(
        PackageStorage, "save_pending_transition", of_table("appended__lines")
    ),
    "after three jobs": lambda: before(PackageStorage, "save_pending_transition", jobs_marked(3)),
    "after a follow-up is made": lambda: after(PackageStorage, "import_job"),
    "after the package is complete": lambda: after(PackageStorage, "complete_loading_package"),
}
POINTS = (*STRUCK, *WRAPPED)
# with `TRACES`
TRACE_POINT = "while the trace is stored"
ALL_STRUCK = {**STRUCK, TRACE_POINT: "stored_trace"}


def arm(stack: ExitStack, pipeline: str = "shop") -> None:
    """Let the kill happen from now on, in the runs of a pipeline."""
    global armed
    armed = True
    if name := ALL_STRUCK.get(os.environ.get("KILL", "")):
        (point,) = chosen_points(name, "kill")
        stack.enter_context(listening(Strike(point, "kill", pipeline, lambda _: None)))


def destination() -> Any:
    kind = os.environ["KIND"]
    if kind == "postgres":
        return dlt.destinations.postgres(os.environ["DATABASE_URL"])
    if kind == "filesystem":
        return dlt.destinations.filesystem(os.path.join(os.getcwd(), "files"))
    if kind == "sqlite":
        return dlt.destinations.sqlalchemy("sqlite:///" + os.path.join(os.getcwd(), "shop.sqlite"))
    return dlt.destinations.duckdb(os.path.join(os.getcwd(), "shop.duckdb"))


def found(pipeline: dlt.Pipeline, names: list[str]) -> dict[str, Any]:
    """Return what is in the tables, and how often the loads are entered."""
    dataset = pipeline.dataset()
    tables: dict[str, Any] = {}
    for name in names:
        tables[name] = sorted(map(list, dataset[name].select("id", "batch").fetchall()))
        tables[f"{name}__lines"] = sorted(
            row[0] for row in dataset[f"{name}__lines"].select("line").fetchall()
        )
        tables[f"{name}__lines__parts"] = sorted(
            row[0] for row in dataset[f"{name}__lines__parts"].select("part").fetchall()
        )
    if "versioned" in names:
        rows = dataset["versioned"].select("id", "batch", "_dlt_valid_to").fetchall()
        tables["active"] = sorted([row[0], row[1]] for row in rows if row[2] is None)
    tables["loads"] = sorted(row[0] for row in dataset["_dlt_loads"].select("load_id").fetchall())
    tables["left"] = []
    if os.environ["KIND"] != "filesystem":
        tables_of_all = "SELECT table_name FROM information_schema.tables"
        with pipeline.sql_client() as client:
            rows = client.execute_sql(f"{tables_of_all} WHERE table_name LIKE '%dlt_resume%'")
        tables["left"] = [row[0] for row in rows or []]
    return tables


def main() -> None:
    with ExitStack() as stack:
        load_batches(stack)


def load_batches(stack: ExitStack) -> None:
    names = os.environ["NAMES"].split(",")
    if (point := os.environ.get("KILL")) in WRAPPED:
        WRAPPED[point]()
    if armed:
        arm(stack)
    pipeline = dlt.pipeline(
        "shop",
        pipelines_dir=os.path.join(os.getcwd(), "pipelines"),
        destination=destination(),
        dataset_name=os.environ["DATASET"],
    )
    plain = bool(os.environ.get("PLAIN"))
    report = {}
    if pipeline.has_pending_data:
        if plain:
            pipeline.activate()
            pipeline.normalize()
            pipeline.load()
        else:
            finish_pending(pipeline)
        if pipeline.default_schema_name:
            # a table that is replaced shows it only until the next batch
            report["resumed"] = found(pipeline, names)
    traces = bool(os.environ.get("TRACES"))
    run = pipeline.run if plain else runner(pipeline, store_trace_info=traces).run
    for _ in range(BATCHES + 2):
        run(shop(names))
        if not armed:
            arm(stack)
        if last_batch(pipeline, names) == BATCHES - 1:
            break
    report["finished"] = found(pipeline, names)
    if traces:
        dataset = dlt.dataset(destination(), "_trace_shop_dataset")
        report["traces"] = [row[0] for row in dataset["shop_trace"].select("attempt").fetchall()]
    json.dump(report, sys.stdout)


def last_batch(pipeline: dlt.Pipeline, names: list[str]) -> int:
    return max(row[0] for row in pipeline.dataset()[names[0]].select("batch").fetchall())


if __name__ == "__main__":
    main()
