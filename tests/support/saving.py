"""A script that saves to the dataset of the project in the working directory.

Run by `test_save_killed.py` and `test_save_concurrent.py`: `python saving.py NAME KIND WHAT`.
`KILL` names the point where the process kills itself: one of `killed.POINTS`, or of `POINTS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import killed
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from saved import batch_of

from dlthub_project import current
from dlthub_project.catalog import journals
from dlthub_project.catalog.transactions import SharedTransaction


def commit_is(moment: Callable[..., None]) -> None:
    """Kill before or after the commit of the transaction, whichever database has it."""
    if os.environ["KIND"] == "duckdb":
        moment(DuckDbSqlClient, "commit_transaction", of_all)
    else:
        from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient

        moment(Psycopg2SqlClient, "commit_transaction", of_all)


def of_all(client: Any) -> bool:
    # not that of one step of dlt's
    shared = getattr(client, "transaction", None)
    return isinstance(shared, SharedTransaction) and shared._owner is client


POINTS: dict[str, Callable[[], None]] = {
    "before the commit": lambda: commit_is(killed.before),
    "after the commit": lambda: commit_is(killed.after),
    "before the files are kept": lambda: killed.before(
        journals.Journal, "_enter", lambda _, what, *__: what == "kept"
    ),
    "after the files are kept": lambda: killed.after(
        journals.Journal, "_enter", lambda _, what, *__: what == "kept"
    ),
}


def many(number: int) -> Iterator[list[dict[str, Any]]]:
    """Pages of rows, with a column of its own for each who saves."""
    for page in range(5):
        yield [
            {"id": 100 * number + 10 * page + n, f"of_{number}": n, "lines": [{"n": n}]}
            for n in range(10)
        ]


def main() -> None:
    name, kind, what = sys.argv[1:]
    os.environ["KIND"] = kind
    dataset = current.catalog()[name]
    if what == "batch":
        with ExitStack() as stack:
            if point := os.environ.get("KILL"):
                if point not in killed.STRUCK:
                    {**killed.WRAPPED, **POINTS}[point]()
                killed.arm(stack, "save_shop_pipeline")
            dataset.save(
                batch_of(kind, 1, new_column="new", new_table=[{"a": 1}]), write_disposition=None
            )
    else:
        print("ready", flush=True)
        sys.stdin.readline()
        table = "people" if what.startswith("one") else f"people_{what}"
        dataset.save(lambda: many(int(what[-1])), table_name=table)


if __name__ == "__main__":
    main()
