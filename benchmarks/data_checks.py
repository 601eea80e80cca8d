"""What ten checks of one large table cost, against one query by hand with the same ten aggregates.

On a DuckDB with rows that dlt has loaded: `CheckSuite.run()`, where all checks pass, and where one
fails and its rows are asked for; and DuckDB's own client with the query, opening the file each time
as the suite does. And ten metrics, against the query of them.

    python benchmarks/data_checks.py [ROUNDS] [--rows 10000000]
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import duckdb
import pyarrow as pa
from measuring import Figure, in_turn, main, ratio

from dlthub_project import data_quality as dq
from dlthub_project.data_quality.metric_queries import measured

check, metric = dq.checks, dq.metrics
_CHECKS = [
    check.is_unique("id"),
    check.is_not_null("customer"),
    check.is_not_null("total"),
    check.is_in("currency", ["EUR", "USD", "GBP"]),
    check.between("total", 0, 2000),
    check.between("day", "2020-01-01", "2030-01-01"),
    check.matches("code", "^[A-Z]-[0-9]+$"),
    check.case("total >= tax", name="tax_is_a_part"),
    check.freshness("placed_at", timedelta(days=365 * 100)),
    check.row_count(min=1),
]
_AGGREGATES = """
    count(*) - count(DISTINCT id),
    count(*) FILTER (customer IS NULL),
    count(*) FILTER (total IS NULL),
    count(*) FILTER (NOT currency IN ('EUR', 'USD', 'GBP')),
    count(*) FILTER (NOT total BETWEEN 0 AND 2000),
    count(*) FILTER (NOT day BETWEEN '2020-01-01' AND '2030-01-01'),
    count(*) FILTER (NOT regexp_matches(code, '^[A-Z]-[0-9]+$')),
    count(*) FILTER (NOT total >= tax),
    max(placed_at),
    count(*)
"""
_METRICS = [
    metric.table.row_count(),
    *(getattr(metric.column, name)("total") for name in ("maximum", "minimum", "mean", "sum")),
    metric.column.standard_deviation("tax"),
    metric.column.null_count("customer"),
    metric.column.null_rate("customer"),
    metric.column.average_length("code"),
    metric.column.maximum_length("code"),
]
_MEASURES = """
    count(*), max(total), min(total), avg(total), sum(total), stddev(tax),
    count(*) - count(customer), 1 - count(customer) / count(*), avg(length(code)), max(length(code))
"""


def _orders(rows: int) -> pa.Table:
    query = (
        "SELECT i AS id, (hash(i) % 200000)::BIGINT AS customer, "
        "(hash(i * 3) % 10000) / 7 AS total, (hash(i * 3) % 10000) / 70 AS tax, "
        "['EUR', 'USD', 'GBP'][1 + (i % 3)] AS currency, "
        "DATE '2024-01-01' + (i % 700)::INT AS day, "
        "TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL (i % 900) MINUTE AS placed_at, "
        "chr((65 + i % 26)::INT) || '-' || i AS code FROM range({}) t(i)"
    )
    return duckdb.sql(query.format(rows)).to_arrow_table()


def figures(rounds: int, rows: int) -> Iterator[Figure]:
    """Measure in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        pipeline = dlt.pipeline("shop", destination="duckdb", pipelines_dir="pipelines")
        pipeline.run(dlt.resource([_orders(rows)], name="orders", primary_key="id"))
        dataset = pipeline.dataset()
        one_fails = [*_CHECKS[:-1], check.between("total", 0, 1428, name="fails")]

        def by_hand(aggregates: str) -> list[Any]:
            with duckdb.connect("shop.duckdb") as connection:
                query = f"SELECT {aggregates} FROM {dataset.dataset_name}.orders"
                return connection.execute(query).fetchall()

        def checked(checks: list[dq.Check], failed: int) -> None:
            results = dq.CheckSuite(dataset, {"orders": checks}).run()
            assert (len(results), len(results.failed)) == (10, failed)

        ways: dict[str, Callable[[], object]] = {
            "checks": lambda: checked(_CHECKS, 0),
            "one fails": lambda: checked(one_fails, 1),
            "by hand": lambda: by_hand(_AGGREGATES),
            "metrics": lambda: measured(dataset, "orders", _METRICS, []),
            "measures": lambda: by_hand(_MEASURES),
        }
        timed = in_turn(ways, rounds)
        for way, plain, what, reach in (
            ("checks", "by hand", "ten checks", 1.5),
            ("one fails", "by hand", "ten checks (one fails)", None),
            ("metrics", "measures", "ten metrics", 1.5),
        ):
            named = f"{what} of {rows:,} rows in DuckDB, against one query by hand, wall time"
            yield ratio(named, timed["wall", way], timed["wall", plain], reach)
        os.chdir("/")


if __name__ == "__main__":
    main(figures, rounds=7, rows=10_000_000)
