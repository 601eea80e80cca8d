"""A run that fails at some step: the next one finishes what is there, and extracts what is not."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse, urlunparse

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals.fault_points import listening
from dlthub_project.faults import Strike, chosen_points
from dlthub_project.runner import runner

WAYS: dict[str, Any] = {
    "append": {"write_disposition": "append"},
    "replace": {"write_disposition": "replace"},
    "merge": {"write_disposition": "merge", "primary_key": "id"},
    "scd2": {"write_disposition": {"disposition": "merge", "strategy": "scd2"}},
}
# of each way: batch 1, 2 and 3 with a row of their own, and one that all have
EXPECTED = {
    "append": [(0, 1), (0, 2), (0, 3), (1, 1), (2, 2), (3, 3)],
    "replace": [(0, 3), (3, 3)],
    "merge": [(0, 3), (1, 1), (2, 2), (3, 3)],
    "scd2": [(0, 1), (0, 2), (0, 3), (1, 1), (2, 2), (3, 3)],
}


class Shop:
    """Batches that are told apart, and how often each was extracted."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.extracted: list[int] = []
        self.closed = False

    def batch(self, number: int, **more: Any) -> Any:
        @dlt.resource(name="items", **WAYS[self.way])
        def items() -> Iterator[Any]:
            for key in (0, number):
                yield {"id": key, "batch": number, "lines": [{"line": f"{key}/{number}"}], **more}
                if self.closed:
                    raise ConnectionError("the shop is closed")
            self.extracted.append(number)

        return items


def assert_each_row_once(pipeline: dlt.Pipeline, shop: Shop) -> None:
    dataset = pipeline.dataset()
    items = sorted(dataset["items"].select("id", "batch").fetchall())
    lines = sorted(row[0] for row in dataset["items__lines"].select("line").fetchall())
    assert items == EXPECTED[shop.way]
    assert lines == [f"{key}/{batch}" for key, batch in EXPECTED[shop.way]]
    assert shop.extracted == [1, 2, 3]


@pytest.fixture(params=WAYS)
def shop(request: pytest.FixtureRequest) -> Shop:
    return Shop(request.param)


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Callable[..., dlt.Pipeline]:
    def make(destination: Any = None, dataset_name: str = "shop_data") -> dlt.Pipeline:
        return dlt.pipeline(
            "shop",
            pipelines_dir=str(tmp_path / "pipelines"),
            destination=destination or dlt.destinations.duckdb(str(tmp_path / "shop.duckdb")),
            dataset_name=dataset_name,
        )

    return make


MakePipeline = Callable[..., dlt.Pipeline]


@pytest.mark.sampled(1)
def test_a_source_that_fails_in_extract_is_extracted_by_the_next_run(
    make_pipeline: MakePipeline, shop: Shop
) -> None:
    pipeline = make_pipeline()
    runner(pipeline).run(shop.batch(1))
    shop.closed = True
    with pytest.raises(PipelineStepFailed, match="the shop is closed"):
        runner(make_pipeline()).run(shop.batch(2))
    shop.closed = False
    runner(make_pipeline()).run(shop.batch(2))
    runner(make_pipeline()).run(shop.batch(3))

    assert_each_row_once(pipeline, shop)


@contextmanager
def away(database: Path) -> Iterator[None]:
    """Have the file of a database moved, and something else where it was."""
    elsewhere = database.with_suffix(".away")
    database.rename(elsewhere)
    database.mkdir()
    yield
    database.rmdir()
    elsewhere.rename(database)


@pytest.mark.sampled(1)
def test_a_database_that_goes_away_after_extract_gets_each_row_once_when_it_is_back(
    make_pipeline: MakePipeline, shop: Shop, tmp_path: Path
) -> None:
    pipeline = make_pipeline()
    runner(pipeline).run(shop.batch(1))
    pipeline.extract(shop.batch(2))
    with away(tmp_path / "shop.duckdb"):
        for _ in range(2):
            with pytest.raises(PipelineStepFailed) as caught:
                runner(make_pipeline()).run(shop.batch(3))
            assert caught.value.step == "load"
    runner(make_pipeline()).run(shop.batch(3))

    assert_each_row_once(pipeline, shop)


@pytest.fixture
def postgres(postgres_url: str, make_pipeline: MakePipeline) -> Iterator[MakePipeline]:
    """Make the pipeline for the server at a URL, or a destination: `postgres(url)`."""
    dataset = f"next_run_{uuid.uuid4().hex[:8]}"

    def make(there: Any = postgres_url) -> dlt.Pipeline:
        destination = dlt.destinations.postgres(there) if isinstance(there, str) else there
        return make_pipeline(destination, dataset)

    yield make
    for schema in (dataset, f"{dataset}_staging"):
        execute(postgres_url, f'DROP SCHEMA IF EXISTS "{schema}" CASCADE').close()


def execute(url: str, sql: str) -> Any:
    """Execute a statement in a transaction that lasts until the connection is closed."""
    import psycopg2

    connection = psycopg2.connect(url)
    connection.autocommit = sql.startswith("DROP")
    connection.cursor().execute(sql)
    return connection


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.postgres
def test_a_table_that_is_out_of_reach_in_load_gets_each_row_once(
    postgres: MakePipeline, shop: Shop, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    impatient = f"{postgres_url}?options=-c%20lock_timeout%3D100ms"
    pipeline = postgres(impatient)
    runner(pipeline).run(shop.batch(1))
    # the jobs of the other tables are done meanwhile
    lock = execute(postgres_url, f"LOCK TABLE {pipeline.dataset_name}.items__lines")
    with pytest.raises(PipelineStepFailed, match="lock timeout") as caught:
        runner(postgres(impatient)).run(shop.batch(2))
    lock.close()
    runner(postgres(impatient)).run(shop.batch(3))

    assert caught.value.step == "load"
    assert_each_row_once(pipeline, shop)


IMPATIENT = {"type": "fixed", "max_attempts": 5, "min": 0}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_each_row_is_there_once_when_jobs_fail_after_their_commit_and_a_policy_tries_again(
    request: pytest.FixtureRequest, kind: str, shop: Shop, tmp_path: Path
) -> None:
    make: MakePipeline
    if kind == "postgres":
        make = request.getfixturevalue("postgres")
        place = partial(dlt.destinations.postgres, request.getfixturevalue("postgres_url"))
    else:
        make = request.getfixturevalue("make_pipeline")
        place = partial(dlt.destinations.duckdb, str(tmp_path / "shop.duckdb"))
    lost: list[str] = []
    for number in (1, 2, 3):
        pipeline = make(place())
        with ExitStack() as stack:
            # each job of the second batch commits, and its answer is lost
            for point in chosen_points(["commit", "merge_commit"], "disconnect"):
                name = pipeline.pipeline_name if number == 2 else "of no batch"
                strike = Strike(point, "disconnect", name, lost.extend)
                stack.enter_context(listening(strike))
            runner(pipeline, retry_policy=IMPATIENT).run(shop.batch(number))

    assert {"items", "items__lines"} <= {*lost}
    assert_each_row_once(pipeline, shop)


class Proxy:
    """A port on loopback that leads to a server, while it is open."""

    def __init__(self, url: str) -> None:
        self._server = urlparse(url)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.url = urlunparse(
            self._server._replace(
                netloc=f"{self._server.netloc.rpartition('@')[0]}@127.0.0.1:{self._port}"
            )
        )

    @contextmanager
    def open(self) -> Iterator[None]:
        listener = socket.create_server(("127.0.0.1", self._port))
        ends: list[socket.socket] = []
        thread = threading.Thread(target=self._accept, args=(listener, ends))
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        thread.join()

    def _accept(self, listener: socket.socket, ends: list[socket.socket]) -> None:
        pumps: list[threading.Thread] = []
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((self._server.hostname, self._server.port or 5432))
                ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    pumps.append(threading.Thread(target=self._pump, args=(one, other)))
                    pumps[-1].start()
        for pump in pumps:
            pump.join()
        for end in ends:
            end.close()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@pytest.mark.sampled(1)
@pytest.mark.postgres
def test_a_server_that_goes_away_and_comes_back_gets_each_row_once(
    postgres: MakePipeline, shop: Shop, postgres_url: str
) -> None:
    proxy = Proxy(postgres_url)
    with proxy.open():
        pipeline = postgres(proxy.url)
        runner(pipeline).run(shop.batch(1))
        pipeline.extract(shop.batch(2))
    for _ in range(2):
        with pytest.raises(PipelineStepFailed, match="refused"):
            runner(postgres(proxy.url)).run(shop.batch(3))
    with proxy.open():
        runner(postgres(proxy.url)).run(shop.batch(3))

        assert_each_row_once(pipeline, shop)


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["duckdb", "filesystem"])
def test_a_disk_that_is_full_in_load_has_each_row_once_when_there_is_room(
    make_pipeline: MakePipeline, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    destinations: dict[str, Callable[[], Any]] = {
        "duckdb": lambda: dlt.destinations.duckdb(str(tmp_path / "shop.duckdb")),
        "filesystem": lambda: dlt.destinations.filesystem(str(tmp_path / "files")),
    }
    make = destinations[kind]
    pipeline = make_pipeline(make())
    runner(pipeline).run([{"id": 0, "lines": [{"line": 0}]}], table_name="items")
    large = [
        {"id": n, "lines": [{"line": n, "text": os.urandom(500).hex()}]} for n in range(1, 3000)
    ]
    pipeline.extract(large, table_name="items")
    pipeline.normalize()
    with room_in_a_file(1_500_000), pytest.raises(PipelineStepFailed, match=r"[Ff]ile too large"):
        runner(make_pipeline(make())).run([{"id": 3000}], table_name="items")
    runner(make_pipeline(make())).run([{"id": 3000}], table_name="items")

    dataset = pipeline.dataset()
    assert sorted(row[0] for row in dataset["items"].select("id").fetchall()) == list(range(3001))
    found = sorted(row[0] for row in dataset["items__lines"].select("line").fetchall())
    assert found == list(range(3000))


@contextmanager
def room_in_a_file(size: int) -> Iterator[None]:
    """Have no file grow beyond `size`: as on a full disk, and without a disk of our own."""
    import resource

    earlier, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (earlier, most))


@pytest.mark.slow
@pytest.mark.sampled(1)
def test_a_column_that_is_new_after_the_failure_is_added_and_each_row_is_there_once(
    make_pipeline: MakePipeline, shop: Shop, tmp_path: Path
) -> None:
    pipeline = make_pipeline()
    runner(pipeline).run(shop.batch(1))
    pipeline.extract(shop.batch(2, color="red"))
    with away(tmp_path / "shop.duckdb"), pytest.raises(PipelineStepFailed):
        runner(make_pipeline()).run(shop.batch(3, size=1))
    runner(make_pipeline()).run(shop.batch(3, color="blue", size=1))

    assert_each_row_once(pipeline, shop)
    rows = pipeline.dataset()["items"].select("batch", "color", "size").fetchall()
    assert {row for row in rows if row[0] == 3} == {(3, "blue", 1)}
