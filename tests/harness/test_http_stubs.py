"""Stubs of responses and requests-mock, and servers of tests: runs ask them, loads share none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from neighbours import without_neighbours

RunTests = Callable[..., pytest.RunResult]

MANIFEST = """
sources:
  shop:
    type: rest_api
    client: {base_url: "https://api.shop.invalid"}
    resources:
      - name: orders
        endpoint:
          path: orders
          incremental: {cursor_path: at, start_param: since, initial_value: "2026-01-01"}
destinations:
  warehouse: {type: bigquery}
pipelines:
  load_shop: {source: shop, destination: warehouse, dataset_name: shop_data}
"""

SHOP = """
import dlt
from dlt.sources.helpers import requests
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials

URL = "https://api.shop.invalid"
login = OAuth2ClientCredentials(
    access_token_url=f"{URL}/login", client_id="shop", client_secret="not-a-secret"
)
client = RESTClient(URL)
client_with_login = RESTClient(URL, auth=login)

@dlt.resource
def pages():
    for page in client.paginate("/pages"):
        yield page

@dlt.resource
def secret_pages():
    yield client_with_login.get("/pages").json()

@dlt.source
def both():
    for name in ("orders", "users"):
        def rows(name=name):
            yield requests.get(f"{URL}/{name}", params={"of": name}).json()

        yield dlt.resource(rows, name=name, parallelized=True)

@dlt.resource
def orders(url: str = dlt.config.value):
    yield requests.get(f"{url}/orders").json()

served = orders.with_name("served")
"""

# both kinds by one name: what answers, and what was asked
API = """
import pytest
import responses
from shop import URL

def answers(rows):
    return [{"id": n, "at": "2026-01-05"} for n in range(rows)]

class ByResponses:
    def __init__(self, mock):
        self.mock = mock

    def answer(self, path, rows, headers={}):
        self.mock.get(URL + path, json=rows, headers=headers)

    @property
    def asked(self):
        return [call.request.url for call in self.mock.calls]

class ByRequestsMock(ByResponses):
    @property
    def asked(self):
        return [request.url for request in self.mock.request_history]

@pytest.fixture(params=["responses", "requests_mock"])
def api(request):
    if request.param == "requests_mock":
        yield ByRequestsMock(request.getfixturevalue("requests_mock"))
        return
    with responses.RequestsMock() as mock:
        yield ByResponses(mock)
"""

RUNS = """
import pytest
from shop import URL, both, pages, secret_pages

def test_project(dlt_project, api):
    api.answer("/orders", [{"id": 1, "at": "2026-01-05"}])

    second = dlt_project.run("load_shop").next()

    assert api.asked == [f"{URL}/orders?since=2026-01-01", f"{URL}/orders?since=2026-01-05"]
    assert second.row_counts == {}

def test_threads(dlt_run, api):
    api.answer("/orders", [{"id": 1}])
    api.answer("/users", [{"id": 1}, {"id": 2}])

    given = {"orders": [{"id": 5}], "users": [{"id": 5}]}
    first = dlt_run(both, given=given, hints={"orders": {"primary_key": "id"}})
    assert api.asked == []

    assert first.next(given=None).row_counts == {"orders": 1, "users": 2}
    assert sorted(api.asked) == [f"{URL}/orders?of=orders", f"{URL}/users?of=users"]

def test_pages(dlt_items, api):
    api.answer("/pages", [{"id": 1}], {"Link": f'<{URL}/more>; rel="next"'})
    api.answer("/more", [{"id": 2}])

    assert dlt_items(pages) == [{"id": 1}, {"id": 2}]
    assert api.asked == [f"{URL}/pages", f"{URL}/more"]

@pytest.mark.parametrize("token", ["first", "second"])
def test_token_is_of_this_test(dlt_items, requests_mock, token):
    login = requests_mock.post(f"{URL}/login", json={"access_token": token})
    pages = requests_mock.get(f"{URL}/pages", json=[{"id": 1}])

    dlt_items(secret_pages)
    dlt_items(secret_pages)

    assert login.call_count == 1
    assert [asked.headers["Authorization"] for asked in pages.request_history] == [
        f"Bearer {token}", f"Bearer {token}"
    ]
"""

LOADS = """
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dlt
import pytest
import requests_mock
import responses
from api import ByResponses, answers
from shop import URL, orders, served

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.rows).encode())
        self.server.asked += 1

@pytest.fixture(scope="module")
def server():
    Handler.log_message = lambda *a: None
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = 0
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()

@pytest.fixture(autouse=True)
def url(dlt_config):
    dlt_config["sources.shop.url"] = URL

class TestStubs:
    @pytest.fixture(params=[1, 1])
    def rows(self, request, api):
        api.answer("/orders", answers(request.param))
        return request.param

    @pytest.mark.dlt_load(source=orders)
    def test_each_is_asked_for_its_own_rows(self, rows, api, dlt_loaded):
        assert dlt_loaded.row_counts == {"orders": rows}
        assert api.asked == [f"{URL}/orders"]

class TestServer:
    @pytest.fixture(params=[1, 2])
    def rows(self, request, server, dlt_config):
        server.rows = answers(request.param)
        dlt_config["sources.shop.url"] = f"http://localhost:{server.server_port}"
        return request.param

    @pytest.mark.dlt_load(source=served)
    def test_each_is_asked_for_its_own_rows(self, rows, dlt_loaded):
        assert dlt_loaded.row_counts == {"served": rows}

class TestDecorators:
    @pytest.fixture(autouse=True)
    def real_api(self, server, dlt_config):
        server.asked, server.rows = 0, answers(1)
        dlt_config["sources.shop.url"] = self.url = f"http://127.0.0.1:{server.server_port}"
        yield
        assert server.asked == 0

    @pytest.mark.dlt_load(source=orders)
    @responses.activate
    def test_responses_come_after_the_load(self, dlt_loaded):
        responses.get(f"{self.url}/orders", json=answers(1))

    @pytest.mark.dlt_load(source=orders)
    @requests_mock.Mocker(kw="mock")
    def test_requests_mock_comes_after_the_load(self, dlt_loaded, mock=None):
        mock.get(f"{self.url}/orders", json=answers(1))

    @pytest.fixture
    def answer(self, real_api):
        responses.start()
        responses.get(f"{self.url}/orders", json=answers(2))

    @pytest.mark.dlt_load(source=orders)
    @responses.activate
    def test_a_fixture_has_given_the_answer(self, answer, dlt_loaded):
        assert dlt_loaded.row_counts == {"orders": 2}
        assert len(responses.calls) == 1

KEY = {"orders": {"primary_key": "id"}}

@dlt.resource
def asking():
    # as a request does that no stub answers; none is made here
    for host in ("api.shop.invalid", "127.0.0.1", "localhost"):
        sys.audit("socket.getaddrinfo", host, 443, 0, 0, 0)
    yield {"id": 1}

@pytest.mark.dlt_load(source=asking)
def test_stub_comes_after_the_load(dlt_loaded, requests_mock):
    assert dlt_loaded.row_counts == {"asking": 1}

class TestDay2:
    @pytest.fixture
    def api(self, dlt_loaded):
        with responses.RequestsMock() as mock:
            yield ByResponses(mock)

    @pytest.mark.dlt_load(source=orders, given={"orders": answers(3)}, hints=KEY)
    @pytest.mark.parametrize("rows", [1, 2])
    def test_asks_the_stub(self, dlt_loaded, api, rows):
        api.answer("/orders", answers(rows))
        assert dlt_loaded.next(given=None).row_counts == {"orders": rows}
        assert len(api.asked) == 1
"""


@pytest.fixture
def run_suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, run_tests: RunTests
) -> RunTests:
    """Run tests on the source, with the fixture `api`."""
    monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours(but=("requests_mock",)))
    pytester.makefile(".yml", dlt=MANIFEST)
    pytester.makepyfile(shop=SHOP, api=API, conftest="from api import api")
    return run_tests


def test_runs_ask_stubs_also_in_threads_and_on_the_second_day(run_suite: RunTests) -> None:
    run_suite(RUNS).assert_outcomes(passed=8)


@pytest.mark.slow
def test_no_test_is_given_what_the_api_of_another_has_answered(run_suite: RunTests) -> None:
    result = run_suite(LOADS)

    result.assert_outcomes(passed=10, errors=2)
    text = result.stdout.str()
    assert "ConnectionError: Connection refused by Responses" in text
    assert "NoMockAddress: No mock address: GET http://127.0.0.1" in text
    assert "2 templates of served: the server of this process at 127.0.0.1:" in text
    assert "asking was loaded from api.shop.invalid:443, with no stub" in text
    result.stdout.fnmatch_lines(["9 templates built *, 10 copies made"])
