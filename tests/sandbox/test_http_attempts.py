"""dlt's HTTP helper makes the attempts of production in a test, and waits for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
import tenacity
from dlt.sources.helpers import requests
from dlt.sources.helpers.requests import Client, HTTPError, get
from dlt.sources.rest_api import rest_api_source

from dlthub_project.sandbox import Overrides, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject

_sleep = time.sleep


class Server:
    """A server on loopback that fails so many times before it answers."""

    def __init__(self) -> None:
        self.failures = 0
        self.requests = 0
        self.retry_after: str | None = None
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.requests += 1
                fails = served.requests <= served.failures
                self.send_response(503 if fails else 200)
                if fails and served.retry_after:
                    self.send_header("Retry-After", served.retry_after)
                body = b'[{"id": 1}]'
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/orders"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Fails twice, then answers; the test took none of dlt's waits."""
    made = Server()
    made.failures = 2
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        _sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    yield made
    made.close()
    assert max(waits, default=0) < 1


def test_a_source_recovers_as_in_production(make_sandbox: MakeSandbox, server: Server) -> None:
    server.failures = 4

    @dlt.resource
    def orders() -> Iterator[Any]:
        yield get(server.url).json()

    with isolated(make_sandbox()):
        dlt.pipeline("shop", destination="duckdb").run(orders())

    assert server.requests == 5


def test_it_gives_up_when_production_does(make_sandbox: MakeSandbox, server: Server) -> None:
    server.failures = 9

    with isolated(make_sandbox()), pytest.raises(HTTPError):
        get(server.url)

    assert server.requests == 5


def test_the_settings_of_the_project_hold(
    make_sandbox: MakeSandbox, write_project: WriteProject, server: Server
) -> None:
    server.failures = 9
    project = write_project("runtime: {request_max_attempts: 3}")

    with isolated(make_sandbox(project=project)):
        assert dlt.current.run_context().runtime_config.request_max_attempts == 3
        with pytest.raises(HTTPError):
            requests.get(server.url)

    assert server.requests == 3


def test_rest_api_recovers(make_sandbox: MakeSandbox, server: Server) -> None:
    source = rest_api_source(
        {"client": {"base_url": server.url}, "resources": [{"name": "orders", "endpoint": "/"}]}
    )

    with isolated(make_sandbox()):
        dlt.pipeline("shop", destination="duckdb").run(source)

    assert server.requests == 3


@pytest.mark.sampled(1)
@pytest.mark.parametrize("respects", [True, False])
@pytest.mark.parametrize("when", ["before the sandbox", "in it"])
def test_a_client_of_the_users_own_waits_for_nothing(
    make_sandbox: MakeSandbox, server: Server, respects: bool, when: str
) -> None:
    def session() -> Any:
        client = Client(
            request_max_attempts=3,
            request_backoff_factor=30,
            respect_retry_after_header=respects,
        )
        return client.session

    made = session() if when == "before the sandbox" else None

    with isolated(make_sandbox()):
        assert (made or session()).get(server.url).json() == [{"id": 1}]

    assert server.requests == 3


def test_the_server_does_not_say_how_long_to_wait(
    make_sandbox: MakeSandbox, server: Server
) -> None:
    server.retry_after = "60"

    with isolated(make_sandbox()):
        get(server.url)

    assert server.requests == 3


def test_a_test_chooses_for_itself_alone(make_sandbox: MakeSandbox, server: Server) -> None:
    with isolated(make_sandbox("first")) as sandbox:
        assert dlt.config.get("any") is None  # the context is there by now
        Overrides(sandbox)["runtime.request_max_attempts"] = 1
        with pytest.raises(HTTPError):
            get(server.url)
    assert server.requests == 1

    with isolated(make_sandbox("second")):
        get(server.url)
    assert server.requests == 3


def test_a_function_of_the_users_waits_as_it_says(make_sandbox: MakeSandbox) -> None:
    waits: list[float] = []

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_exponential(multiplier=7),
        sleep=waits.append,
        reraise=True,
    )
    def fails() -> None:
        raise OSError("mine")

    with isolated(make_sandbox()), pytest.raises(OSError, match="mine"):
        fails()

    assert waits == [7]


def test_a_subprocess_waits_for_nothing(
    make_sandbox: MakeSandbox, server: Server, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    code = f"""
import dlt
from dlt.sources.helpers.requests import get

@dlt.resource
def orders():
    yield get({server.url!r}).json()

dlt.pipeline("shop", destination="duckdb").run(orders())
"""
    with isolated(make_sandbox()):
        # the first wait would be this long
        run_python(code, tmp_path, RUNTIME__REQUEST_BACKOFF_FACTOR="1000")

    assert server.requests == 3
