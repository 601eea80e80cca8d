"""A pipeline that stores what its checks find does so in the sandbox of a test."""

from __future__ import annotations

import pytest
from sessions import run_session

CODE = """
import dlt
from dlt.hub import data_quality as dq


@dq.with_metrics(dq.metrics.table.row_count())
@dq.with_checks(dq.checks.is_unique("id"), dq.checks.row_count(change=0.5, name="steady"))
@dlt.resource
def orders(rows=2):
    yield [{"id": n} for n in range(rows)]


PIPELINE = dlt.pipeline(
    "shop", destination=dlt.destinations.duckdb("production.duckdb"), dataset_name="sales"
)
dq.enable_data_quality(PIPELINE)
"""
TESTS = """
import pytest
from dlt.hub import data_quality as dq
from shop import PIPELINE, orders


@pytest.mark.parametrize("again", [1, 2])
def test_results_of_this_test_alone(again, dlt_runs):
    first = PIPELINE.run(orders())
    second = PIPELINE.run(orders(8))
    found = dq.read_check(PIPELINE.dataset()).select("load_id", "check_name", "status").fetchall()
    assert sorted(found) == [
        (first.loads_ids[0], "id__is_unique", "passed"),
        (first.loads_ids[0], "steady", "passed"),
        (second.loads_ids[0], "id__is_unique", "failed"),
        (second.loads_ids[0], "steady", "failed"),
    ]
    assert len(dq.read_metric(PIPELINE.dataset()).fetchall()) == 2
    assert [run.pipeline.pipeline_name for run in dlt_runs] == ["shop", "shop"]
"""


def test_results_are_stored_in_the_sandbox_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=CODE, test_shop=TESTS)
    pytester.makeini("[pytest]\ndlt_isolation = on\n")

    result = run_session(pytester.path, "-p", "no:cacheprovider", "test_shop.py")

    result.assert_outcomes(passed=2)
    assert not list(pytester.path.rglob("*.duckdb"))
    assert "data_quality" not in "".join(result.outlines)
