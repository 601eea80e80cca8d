"""Threads and pools that outlive a test: their work is of the test that submits it, or refused."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import dlt
import pytest

from dlthub_project.errors import ProjectError, RemoteDestinationBlocked
from dlthub_project.sandbox import active_sandbox, isolated

if TYPE_CHECKING:
    from conftest import Listener, MakeSandbox

# of Python 3.12, where other threads are at work
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

PATH_ALONE = {"PATH": os.environ["PATH"]}


def working_dir(_: int = 0) -> str:
    return dlt.pipeline("worker", destination="duckdb").working_dir


def load(value: int) -> list[tuple[int]]:
    pipeline = dlt.pipeline("worker", destination="duckdb", dataset_name="data")
    pipeline.run([{"id": value}], table_name="items")
    return list(pipeline.dataset()["items"].select("id").fetchall())


def load_to(url: str) -> None:
    pipeline = dlt.pipeline("remote", destination=dlt.destinations.postgres(url))
    pipeline.run([{"id": 1}], table_name="items")


POOLS: dict[str, Callable[[], Any]] = {
    "threads": lambda: ThreadPoolExecutor(1),
    "processes": lambda: ProcessPoolExecutor(1, multiprocessing.get_context("fork")),
    "pool of threads": lambda: ThreadPool(1),
    "pool of processes": lambda: multiprocessing.get_context("fork").Pool(1),
}


def end(pool: Any) -> None:
    getattr(pool, "shutdown", getattr(pool, "terminate", None))()


@pytest.mark.parametrize("is_made_outside", [True, False])
@pytest.mark.parametrize("kind", POOLS)
def test_a_pool_works_in_the_sandbox_that_submits(
    make_sandbox: MakeSandbox, kind: str, is_made_outside: bool
) -> None:
    pool = POOLS[kind]() if is_made_outside else None
    for name in ("first", "second"):
        with isolated(make_sandbox(name)) as sandbox, mock.patch.dict(os.environ, PATH_ALONE):
            pool = pool or POOLS[kind]()
            assert list(pool.map(working_dir, [0])) == [f"{sandbox.data_dir}/pipelines/worker"]
            if is_made_outside and kind == "processes":
                assert list(pool.map(load, [len(name)])) == [[(len(name),)]]
    end(pool)


def test_all_ways_to_give_work_to_a_pool_are_seen(make_sandbox: MakeSandbox) -> None:
    with closing(ThreadPool(1)) as pool, isolated(make_sandbox("first")):
        late = threading.Event()
        pool.apply_async(late.wait)
        left = [
            pool.apply_async(working_dir),
            pool.map_async(working_dir, [0]),
            pool.starmap_async(working_dir, [(0,)]),
        ]
        iterators = [pool.imap(working_dir, [0]), pool.imap_unordered(working_dir, [0])]
    with isolated(make_sandbox("second")) as second:
        late.set()
        for result in left:
            with pytest.raises(ProjectError, match="after the test"):
                result.get(10)
        for iterator in iterators:
            with pytest.raises(ProjectError, match="after the test"):
                iterator.next(10)
        assert not os.path.exists(second.data_dir + "/pipelines")


@pytest.mark.parametrize("start", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_process_that_inherits_no_variable_is_in_the_sandbox(
    make_sandbox: MakeSandbox, start: str
) -> None:
    context: Any = multiprocessing.get_context(start)
    with (
        isolated(make_sandbox()) as sandbox,
        mock.patch.dict(os.environ, PATH_ALONE, clear=True),
        context.Pool(1) as pool,
    ):
        assert pool.map(working_dir, [0]) == [f"{sandbox.data_dir}/pipelines/worker"]


def test_what_is_blocked_in_a_pool_does_not_hang_it(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    url = f"postgresql://u:p@127.0.0.1:{listener.port}/prod"
    with (
        isolated(make_sandbox()),
        multiprocessing.get_context("fork").Pool(1) as pool,
        pytest.raises(ProjectError, match=r"`postgres` .* is remote"),
    ):
        pool.map_async(load_to, [url]).get(60)
    assert listener.connections == 0


class Leftover:
    """A thread that a test starts and does not wait for."""

    def __init__(self, target: Callable[[], Any]) -> None:
        self.errors: list[BaseException] = []
        self.goes_on = threading.Event()
        self._target = target
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.goes_on.wait()
        try:
            self._target()
        except BaseException as error:
            self.errors.append(error)

    def join(self) -> None:
        self.goes_on.set()
        self._thread.join()

    def finish(self) -> BaseException:
        self.join()
        return self.errors[0]


def test_a_thread_of_an_earlier_test_does_not_write_into_the_next_one(
    make_sandbox: MakeSandbox,
) -> None:
    started: list[BaseException] = []
    with isolated(make_sandbox("first")):
        assert load(1) == [(1,)]
        leftover = Leftover(lambda: load(2))
        # a thread that it starts is of the same test
        starts = Leftover(lambda: started.append(Leftover(lambda: load(3)).finish()))
    with isolated(make_sandbox("second")):
        error = leftover.finish()
        starts.join()
        assert isinstance(error, RemoteDestinationBlocked)
        assert "Wait for it in the test" in str(error)
        assert [type(other) for other in started] == [RemoteDestinationBlocked]
        assert load(4) == [(4,)]


def test_a_thread_of_a_test_does_not_write_outside_of_sandboxes(
    make_sandbox: MakeSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    monkeypatch.setenv("DLT_DATA_DIR", str(outside))
    with isolated(make_sandbox("first")):
        leftover = Leftover(working_dir)
    assert active_sandbox() is None
    assert isinstance(leftover.finish(), RemoteDestinationBlocked)
    assert not outside.exists()
    # where it would have been
    assert Path(working_dir()).is_relative_to(outside)
    assert outside.exists()


def test_a_run_that_goes_on_after_its_test_does_not_go_on_in_the_next_one(
    make_sandbox: MakeSandbox,
) -> None:
    is_running, goes_on = threading.Event(), threading.Event()

    def rows() -> Any:
        yield {"id": 1}
        is_running.set()
        goes_on.wait()
        yield {"id": 2}

    def run() -> None:
        pipeline = dlt.pipeline("worker", destination="duckdb", dataset_name="data")
        pipeline.run(rows(), table_name="items")

    with isolated(make_sandbox("first")):
        leftover = Leftover(run)
        leftover.goes_on.set()
        is_running.wait()
    with isolated(make_sandbox("second")) as second:
        goes_on.set()
        assert "after the test" in str(leftover.finish())
        assert not os.path.exists(second.data_dir + "/pipelines")


def test_a_thread_of_a_sandbox_around_a_test_serves_it(make_sandbox: MakeSandbox) -> None:
    found: list[str] = []
    with isolated(make_sandbox("session")):
        # as a server that a fixture of wider scope has started
        server = Leftover(lambda: found.append(working_dir()))
        with isolated(make_sandbox("test")) as sandbox:
            server.join()
    assert found == [f"{sandbox.data_dir}/pipelines/worker"]
