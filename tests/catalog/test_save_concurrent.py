"""Saves at the same time: they queue, and each row is there once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import saving
from processes import python
from saved import Store

from dlthub_project import DatasetInUse, ProjectError
from dlthub_project.catalog import transactions

MakeStore = Callable[..., Store]

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
KINDS = ["duckdb", POSTGRES, "filesystem"]
SCRIPT = Path(saving.__file__)


def assert_all_is_there(store: Store, tables: list[str], numbers: range) -> None:
    """Assert that the rows of all who saved are there, each in its own columns."""
    dataset = store.open()
    for table in tables:
        saved = [n for n in numbers if table in ("people", f"people_own{n}")]
        expected = sorted(row["id"] for n in saved for page in saving.many(n) for row in page)
        found = dataset[table].select("id", "_dlt_id").fetchall()
        assert sorted(row[0] for row in found) == expected
        for n in saved:
            own = dataset[table].select("id", f"of_{n}").fetchall()
            assert sum(value is not None for _, value in own) == 50
            assert all(key // 100 == n for key, value in own if value is not None)
        parents = dataset[f"{table}__lines"].select("_dlt_parent_id").fetchall()
        assert sorted(p[0] for p in parents) == sorted(row[1] for row in found)


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_four_threads_save_to_one_new_table_while_others_read(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    store.load_by_hand()
    together, done, read = threading.Barrier(5), threading.Event(), []

    def save(number: int) -> None:
        dataset = store.open()
        together.wait()
        dataset.save(lambda: saving.many(number), table_name="people")

    def reading() -> None:
        dataset = store.open()
        together.wait()
        while not done.is_set():
            read.append(len(dataset.appended.fetchall()))

    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(reading)
        saves = [threads.submit(save, n) for n in range(4)]
        try:
            for one in saves:
                one.result()
        finally:
            done.set()
        reader.result()

    assert set(read) == {1}
    assert_all_is_there(store, ["people"], range(4))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_four_threads_save_to_tables_of_their_own_and_to_the_same_one_again(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    dataset = store.load_by_hand()

    def save(number: int) -> None:
        # one handle for all
        dataset.save(lambda: saving.many(number), table_name=f"people_own{number}")
        dataset.save(lambda: saving.many(number), table_name="people")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(save, range(4)))

    assert_all_is_there(store, ["people", *(f"people_own{n}" for n in range(4))], range(4))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the script that saves in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def one(store: Store, what: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*python(), str(SCRIPT), store.name, store.kind, what],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.communicate()


def save_at_once(
    start: Callable[..., subprocess.Popen[str]], store: Store, whats: list[str]
) -> None:
    processes = [start(store, what) for what in whats]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "duckdb",
        pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow]),
        pytest.param("filesystem", marks=pytest.mark.slow),
    ],
)
def test_four_processes_save_to_one_new_table(
    make_store: MakeStore, start: Callable[..., subprocess.Popen[str]], kind: str
) -> None:
    store = make_store(kind)
    store.load_by_hand()
    save_at_once(start, store, [f"one{n}" for n in range(4)])

    assert_all_is_there(store, ["people"], range(4))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_four_processes_save_to_tables_of_their_own(
    make_store: MakeStore, start: Callable[..., subprocess.Popen[str]], kind: str
) -> None:
    store = make_store(kind)
    store.load_by_hand()
    save_at_once(start, store, [f"own{n}" for n in range(4)])

    assert_all_is_there(store, [f"people_own{n}" for n in range(4)], range(4))


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Have another process hold a DuckDB file."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    held: list[subprocess.Popen[str]] = []

    def one(path: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        held.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

    yield one
    for process in held:
        process.communicate("\n")


def test_a_database_that_another_process_keeps_open_gives_a_clear_error(
    make_store: MakeStore, hold: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_PATIENCE_SECONDS", 0.1)
    store = make_store("duckdb")
    dataset = store.load_by_hand()
    hold(store.local / "warehouse.duckdb")

    with pytest.raises(DatasetInUse) as caught:
        dataset.save([{"id": 1}], "people")
    assert isinstance(caught.value, ProjectError)
    assert f"Dataset `{store.name}`" in str(caught.value)
    assert "Nothing was saved" in str(caught.value)
    assert "Try again" in caught.value.instruction
