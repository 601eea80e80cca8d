"""What comparing two large tables costs, against reading both of them.

Tables of a DuckDB that differ in three rows: a cell of one, a cell of another, and one row that the
other lacks. Their rows are compared by `==`, and what differs is told as pytest tells it; the same
with the expected rows in another order; and `assert_rows` compares the relations, without reading
what is equal. And the memory that a comparison needs beside the rows themselves.

    python benchmarks/rows_diff.py [ROUNDS] [--rows 1000000]
"""

from __future__ import annotations

import os
import random
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import pyarrow as pa
from measuring import Figure, in_turn, main, ratio

from pytest_dlthub import assert_rows, table_rows
from pytest_dlthub.assertions.differences import explained


def _table(rows: int, *, is_changed: bool) -> pa.Table:
    ids, names = list(range(rows)), [f"name {i % 1000}" for i in range(rows)]
    prices = [i / 7 for i in ids]
    if is_changed:
        names[rows // 3], prices[rows // 2], ids[-1] = "other", -1.0, rows
    return pa.table({"id": ids, "name": names, "price": prices})


def _loaded(rows: int) -> dlt.Dataset:
    pipeline = dlt.pipeline("diff", destination="duckdb", pipelines_dir="pipelines")
    tables = {"before": _table(rows, is_changed=False), "after": _table(rows, is_changed=True)}
    pipeline.run([dlt.resource([t], name=name, primary_key="id") for name, t in tables.items()])
    return pipeline.dataset()


def _megabytes(way: Callable[[], object]) -> float:
    tracemalloc.start()
    way()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def figures(rounds: int, rows: int) -> Iterator[Figure]:
    """Measure in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        dataset = _loaded(rows)
        before, after = dataset.table("before"), dataset.table("after")
        left, right = table_rows(before), table_rows(after)
        mixed = list(right)
        random.Random(0).shuffle(mixed)

        def of_relations() -> None:
            with suppress(AssertionError):
                assert_rows(before, after)
                raise RuntimeError("the tables differ")

        def of_rows(other: list[dict[str, object]]) -> None:
            assert not left == other  # noqa: SIM201  # as a test asks
            assert len(explained(left, other) or ()) == 5

        reading = "reading both"
        ways: dict[str, Callable[[], object]] = {
            reading: lambda: (table_rows(before), table_rows(after)),
            "rows": lambda: of_rows(right),
            "rows in another order": lambda: of_rows(mixed),
            "relations": of_relations,
        }
        timed = in_turn(ways, rounds)
        plain = timed["processor", reading]
        for way, reach in (("rows", 3), ("rows in another order", 3), ("relations", 3)):
            what = f"diff of {rows:,} {way}, against {reading}, processor time"
            yield ratio(what, timed["processor", way], plain, reach)
        whole = _megabytes(ways[reading])
        for way in ("rows", "rows in another order", "relations"):
            what = f"memory of a diff of {rows:,} {way}, against {reading}"
            part = _megabytes(ways[way]) / whole
            yield Figure(what, part, part, part, "x", 1)


if __name__ == "__main__":
    main(figures, rounds=3, rows=1_000_000)
