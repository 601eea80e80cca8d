"""time-machine, freezegun, pytest-timeout and pytest-repeat."""

import datetime
import time

import dlt
import pytest
import time_machine as machine
from freezegun import freeze_time

from sources.shop import stock

LONG_AGO = datetime.datetime(2020, 2, 3, tzinfo=datetime.timezone.utc)


@machine.travel(LONG_AGO, tick=False)
def test_clock_stands_by_time_machine(dlt_run):
    run = dlt_run(stock())
    run.next()

    assert run.rows("stock") == [{"id": 1, "at": LONG_AGO}] * 2


@freeze_time(LONG_AGO)
def test_clock_stands_by_freezegun(dlt_run):
    run = dlt_run(stock())
    run.next()

    assert run.rows("stock") == [{"id": 1, "at": LONG_AGO}] * 2


@pytest.fixture
def frozen():
    with freeze_time(LONG_AGO):
        yield


@pytest.fixture
def travelled():
    with machine.travel(LONG_AGO, tick=False):
        yield


@pytest.mark.dlt_load("load_shop", resources=["stock"])
def test_what_is_loaded_while_freezegun_has_the_clock_is_not_shared(frozen, dlt_loaded):
    assert dlt_loaded.rows("stock") == [{"id": 1, "at": LONG_AGO}]


@pytest.mark.dlt_load("load_shop", resources=["stock"])
def test_what_is_loaded_while_time_machine_has_the_clock_is_not_shared(travelled, dlt_loaded):
    assert dlt_loaded.rows("stock") == [{"id": 1, "at": LONG_AGO}]


@pytest.mark.repeat(2)
@pytest.mark.dlt_load("load_shop", resources=["stock"])
def test_each_repetition_has_a_copy_of_its_own(dlt_loaded):
    assert dlt_loaded.rows("stock")[0]["at"].year > 2020
    dlt_loaded.next()
    assert len(dlt_loaded.rows("stock")) == 2


@dlt.resource
def endless():
    yield {"id": 1}
    time.sleep(600)


@pytest.mark.xfail(strict=True, raises=pytest.fail.Exception)
@pytest.mark.timeout(3)
def test_timeout_in_a_run(dlt_items):
    dlt_items(endless())


@pytest.mark.repeat(2)
def test_after_a_timeout_and_repeated(dlt_run):
    run = dlt_run([{"id": 2}], table_name="endless")

    assert run.rows("endless") == [{"id": 2}]
