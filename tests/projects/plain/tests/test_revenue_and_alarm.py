import os
import unittest

import dlt
import pytest

from alarm import alarm
from revenue import pipeline, refresh

ORDERS = [
    {"id": 1, "total": 150_000, "changed_at": "2024-03-01"},
    {"id": 2, "total": 700, "changed_at": "2024-03-01"},
]


@pytest.mark.usefixtures("dlt_isolated")
class TestRevenue(unittest.TestCase):
    def setUp(self):
        self.assertNotIn("NORMALIZE__WORKERS", os.environ)
        os.environ["NORMALIZE__WORKERS"] = "1"

    def test_totals_of_a_day_are_added(self):
        rows = refresh(ORDERS)["revenue"].select("day", "total").fetchall()
        self.assertEqual(rows, [("2024-03-01", 150_700)])

    def test_a_later_day_is_added_and_no_earlier_one(self):
        refresh(ORDERS)
        days = [{"id": day, "total": 1, "changed_at": f"2024-03-0{day}"} for day in (2, 0)]
        rows = refresh(days)["revenue"].select("day").fetchall()
        self.assertEqual(sorted(rows), [("2024-03-01",), ("2024-03-02",)])

    def test_pipeline_is_the_active_one(self):
        refresh(ORDERS)
        self.assertIs(dlt.pipeline(), pipeline)


def test_large_orders_are_told(dlt_runs):
    alarm(ORDERS)

    assert dlt_runs.last.sent == {"messages": [ORDERS[0]]}


def test_revenue_then_alarm(dlt_runs):
    refresh(ORDERS)
    alarm(ORDERS)

    assert [run.pipeline.pipeline_name for run in dlt_runs] == ["revenue", "alarm"]
    assert len(dlt_runs) == 2
    assert dlt_runs["revenue"].pipeline.dataset_name == "dashboard"


def test_nobody_is_told_of_small_orders(dlt_runs):
    alarm([ORDERS[1], {**ORDERS[0], "total": 100_000}])

    assert dlt_runs.last.sent == {}
