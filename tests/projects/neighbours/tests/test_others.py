"""pytest-rerunfailures, inline-snapshot, syrupy and `monkeypatch`."""

import pytest
from inline_snapshot import snapshot as inline

from sources.shop import orders

attempts = []
GIVEN = {"orders": [{"id": 1, "price": 2}]}


@pytest.mark.flaky(reruns=1)
@pytest.mark.dlt_load("load_shop", given=GIVEN)
def test_another_attempt_has_another_copy(dlt_loaded):
    attempts.append(1)
    dlt_loaded.next(given={"orders": [{"id": 2, "price": 3}]})

    assert len(dlt_loaded.rows("orders")) == 2
    assert len(attempts) == 2


def test_inline_and_schema_snapshots(dlt_run, dlt_schema_snapshot):
    run = dlt_run(orders(), given=GIVEN)

    assert run.rows("orders") == inline([{"id": 1, "price": 2, "cents": 200}])
    assert run.schema == dlt_schema_snapshot


def test_code_that_a_test_replaces(monkeypatch, dlt_items):
    monkeypatch.setattr("sources.shop.cents", lambda price: 0)

    assert dlt_items(orders(), given=GIVEN)[0]["cents"] == 0
