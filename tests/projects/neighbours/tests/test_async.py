"""pytest-asyncio and anyio."""

import asyncio
import unittest

import dlt
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.shop import orders, visits

FEW = settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wide():
    pipeline = dlt.pipeline("wide", destination="warehouse", dataset_name="shop_data")
    await asyncio.to_thread(pipeline.run, visits())
    yield pipeline.dataset()
    await asyncio.sleep(0)
    assert len(pipeline.dataset()["visits"].fetchall()) == 3


async def test_run_in_an_event_loop_and_in_a_thread(dlt_run, dlt_runs):
    run = dlt_run(visits())
    await asyncio.to_thread(dlt_run, visits())

    assert run.row_counts == dlt_runs.last.row_counts == {"visits": 3}
    assert len(run.rows("visits")) == 6


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.dlt_load("load_shop", resources=["visits"])
async def test_async_fixture_of_wider_scope_beside_a_copy(wide, dlt_loaded):
    assert len(wide["visits"].fetchall()) == len(dlt_loaded.rows("visits")) == 3


@FEW
@given(price=st.integers(0, 1000))
async def test_examples_of_an_async_test(dlt_run, price):
    await asyncio.sleep(0)
    run = dlt_run(orders(), given={"orders": [{"id": 1, "price": price}]})

    assert run.rows("orders") == [{"id": 1, "price": price, "cents": 100 * price}]


class TestAnyio:
    pytestmark = pytest.mark.anyio

    async def test_items_of_an_async_resource(self, dlt_items):
        assert dlt_items(visits()) == [{"number": n} for n in range(3)]


class TestUnittest(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def give(self, dlt_items):
        self.items = dlt_items

    async def test_items(self):
        self.assertEqual(len(self.items(visits())), 3)

    def test_subtests(self):
        for number in range(2):
            with self.subTest(number=number):
                self.assertEqual(len(self.items(visits())), 3)
