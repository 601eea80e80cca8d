"""Data that are read from a dataset while they are saved to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from saved import Store

from dlthub_project import WritableDataset

MakeStore = Callable[..., Store]
Rows = list[tuple[int, int]]

AGAIN = (pytest.mark.postgres, pytest.mark.slow)
FEW = [{"id": i, "n": 10 * i} for i in range(3)]


def frame(dataset: WritableDataset) -> Any:
    read = dataset.numbers.df()[["id", "n"]]
    return read.assign(n=read["n"] + 1)


def generator(dataset: WritableDataset) -> Any:
    def chunks() -> Iterator[pd.DataFrame]:
        for chunk in dataset.numbers.select("id", "n").iter_df(chunk_size=2):
            yield chunk.assign(n=chunk["n"] + 1)

    return chunks


def relation(dataset: WritableDataset) -> Any:
    return dataset("SELECT id, n + 1 AS n FROM numbers")


READ = {"frame": frame, "generator": generator, "relation": relation}
BEFORE = [(i, 10 * i) for i in range(3)]
AFTER = [(i, 10 * i + 1) for i in range(3)]
EXPECTED: dict[str, Rows] = {
    "append": sorted(BEFORE + AFTER),
    "replace": AFTER,
    "merge": AFTER,
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("kind", "read"),
    [
        *(("duckdb", read) for read in READ),
        pytest.param("postgres", "relation", marks=pytest.mark.postgres),
        *(pytest.param("postgres", r, marks=AGAIN) for r in ("frame", "generator")),
        *(pytest.param("filesystem", read, marks=pytest.mark.slow) for read in READ),
    ],
)
def test_a_table_is_saved_back_into_itself(make_store: MakeStore, kind: str, read: str) -> None:
    store = make_store(kind)
    dataset = store.load_by_hand()
    dispositions = [d for d in EXPECTED if kind != "filesystem" or d != "merge"]
    for disposition in dispositions:
        dataset.save(pd.DataFrame(FEW), "numbers", write_disposition="replace", primary_key="id")
        dataset.save(
            READ[read](dataset), "numbers", write_disposition=disposition, primary_key="id"
        )
        found = sorted(store.open().numbers.select("id", "n").fetchall())
        assert (disposition, found) == (disposition, EXPECTED[disposition])


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["duckdb", "filesystem"])
def test_a_dataset_that_is_held_open_is_saved_to_and_read_in_turn(
    make_store: MakeStore, kind: str
) -> None:
    with make_store(kind).load_by_hand() as dataset:
        for number in range(2):
            dataset.save(FEW[number : number + 1], "numbers")
            assert len(dataset.numbers.fetchall()) == number + 1


def test_a_save_within_the_generator_of_another_one_comes_first(make_store: MakeStore) -> None:
    store = make_store("duckdb")
    dataset = store.load_by_hand()

    def rows() -> Iterator[Any]:
        yield FEW[0]
        store.open().save([{"step": "seen"}], "log")
        yield FEW[1]

    dataset.save(rows, "numbers")
    dataset = store.open()

    assert len(dataset.numbers.fetchall()) == 2
    assert dataset.log.select("step").fetchall() == [("seen",)]


def test_a_save_within_a_worker_of_another_one_does_not_wait_for_it(make_store: MakeStore) -> None:
    import dlt

    store = make_store("duckdb")
    dataset = store.load_by_hand()

    @dlt.resource(name="numbers", parallelized=True)
    def rows() -> Iterator[Any]:
        yield FEW[0]
        store.open().save([{"step": "seen"}], "log")

    dataset.save(rows)

    assert store.open().log.select("step").fetchall() == [("seen",)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("frames_first", [True, False])
def test_a_table_of_files_takes_frames_and_dicts_alike(
    make_store: MakeStore, frames_first: bool
) -> None:
    store = make_store("filesystem")
    dataset = store.load_by_hand()
    for number in range(4):
        rows = FEW[number % 3 :][:1]
        is_frame = number % 2 == (not frames_first)
        dataset.save(pd.DataFrame(rows) if is_frame else rows, "numbers")

    assert sorted(store.open().numbers.select("id", "n").fetchall()) == [*BEFORE[:1], *BEFORE]


@pytest.mark.slow
def test_rows_that_are_saved_into_their_own_table_get_ids_of_their_own(
    make_store: MakeStore,
) -> None:
    store = make_store("duckdb")
    dataset = store.load_by_hand()
    dataset.save(FEW, "numbers")
    dataset.save(dataset.table("numbers"), "numbers")
    dataset.save(dataset.numbers.df(), "numbers")

    ids = store.open().numbers.select("_dlt_id").fetchall()
    assert len(ids) == len(set(ids)) == 4 * len(FEW)
