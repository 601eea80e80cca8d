"""pytest-socket, responses, requests-mock and pytest-recording."""

import pytest
import responses
from dlt.extract.exceptions import ResourceExtractionError

from sources.shop import BASE_URL, orders

ROWS = [{"id": 1, "price": 1.5}, {"id": 2, "price": 2}]


def test_sources_reach_no_network(dlt_items):
    with pytest.raises(ResourceExtractionError, match="socket"):
        dlt_items(orders())


@responses.activate
def test_stubs_of_responses_and_attempts_of_production(dlt_run):
    responses.get(f"{BASE_URL}/orders", status=503)
    responses.get(f"{BASE_URL}/orders", json=ROWS)

    assert [row["cents"] for row in dlt_run(orders()).rows("orders").in_order] == [150, 200]
    assert len(responses.calls) == 2


def test_stubs_of_requests_mock_in_a_project(dlt_project, requests_mock):
    requests_mock.get(f"{BASE_URL}/orders", json=ROWS)

    run = dlt_project.run("load_shop")

    assert run.row_counts == {"orders": 2, "stock": 1, "visits": 3}
    assert requests_mock.call_count == 1


@pytest.mark.vcr
def test_recorded_answers(dlt_run):
    assert dlt_run(orders()).rows("orders") == [{"id": 7, "price": 3, "cents": 300}]


@pytest.mark.dlt_load("load_shop", given={"orders": ROWS})
def test_load_once(dlt_dataset):
    assert len(dlt_dataset["orders"].fetchall()) == 2
