"""A save that is killed: all of it is there or nothing, and the next save works."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import saving
from processes import python
from saved import Store, batch_of, names_of

MakeStore = Callable[..., Store]

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
SCRIPT = Path(saving.__file__)

BEFORE = (
    "before the extracted package is there",
    "in normalize",
    "between normalize and load",
    "before the tables are noted",
    "before the first job",
    "before a job is marked",
    "before a nested job is marked",
    "after three jobs",
    "between jobs",
    "after the last job",
    "after the load is entered",
    "after the package is complete",
)


def kill(store: Store, point: str) -> None:
    """Save in a process that kills itself."""
    dead = subprocess.run(
        [*python(), str(SCRIPT), store.name, store.kind, "batch"],
        cwd=store.root,
        env={**os.environ, "KILL": point, "KIND": store.kind},
        capture_output=True,
        text=True,
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr


def left_behind(store: Store) -> list[str]:
    """Return the working folders and journals that are there."""
    folders = (store.root / "_data" / "dev").glob("save_*")
    return [path.name for path in (*folders, *store.root.rglob("journal_*"))]


def assert_next_save_finds(store: Store, *, committed: bool) -> None:
    """Assert that the next save works, and what it finds of the killed one."""
    store.open().save(batch_of(store.kind, 2), write_disposition=None)

    dataset = store.open()
    earlier = [(1, 1), (11, 1)] if committed else []
    appended = sorted(dataset.appended.select("id", "batch").fetchall())
    assert appended == sorted([(1, 0), (10, 0), *earlier, (1, 2), (12, 2)])
    lines = sorted(row[0] for row in dataset["appended__lines"].select("line").fetchall())
    assert lines == sorted(f"{key}/{batch}/{n}" for key, batch in appended for n in (1, 2))
    assert sorted(dataset.replaced.select("id", "batch").fetchall()) == [(1, 2), (12, 2)]
    if "merged" in names_of(store.kind):
        merged = sorted(dataset.merged.select("id", "batch").fetchall())
        kept = [(11, 1)] if committed else []
        assert merged == sorted([(10, 0), *kept, (1, 2), (12, 2)])
    assert ("new_column" in dataset.schema.tables["appended"]["columns"]) is committed
    assert left_behind(store) == []


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("duckdb", "before a job is marked"),
        ("duckdb", "before the commit"),
        pytest.param("postgres", "before the commit", marks=pytest.mark.postgres),
        ("filesystem", "before the files are kept"),
    ],
)
def test_nothing_is_there_of_a_save_that_is_killed(
    make_store: MakeStore, kind: str, point: str
) -> None:
    store = make_store(kind)
    store.load()
    before = store.contents()
    kill(store, point)

    assert left_behind(store)
    if kind != "filesystem":
        assert store.contents() == before
    assert_next_save_finds(store, committed=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "point"),
    [
        pytest.param("duckdb", "after the commit", marks=pytest.mark.slow),
        pytest.param(
            "postgres", "after the commit", marks=[pytest.mark.postgres, pytest.mark.slow]
        ),
        ("filesystem", "after the files are kept"),
    ],
)
def test_all_is_there_of_a_save_that_is_killed_after_its_commit(
    make_store: MakeStore, kind: str, point: str
) -> None:
    store = make_store(kind)
    store.load()
    kill(store, point)

    assert_next_save_finds(store, committed=True)


@pytest.mark.slow
@pytest.mark.parametrize("point", BEFORE)
@pytest.mark.parametrize("kind", ["duckdb", POSTGRES, "filesystem"])
def test_matrix_of_points_and_destinations(make_store: MakeStore, kind: str, point: str) -> None:
    store = make_store(kind)
    store.load()
    before = store.contents()
    kill(store, point)

    if kind != "filesystem":
        assert store.contents() == before
    assert_next_save_finds(store, committed=False)


def test_files_are_as_before_once_a_killed_save_is_cleaned_up(make_store: MakeStore) -> None:
    store = make_store("filesystem")
    dataset = store.load()
    before = store.contents()
    kill(store, "after the load is entered")
    assert store.contents() != before
    # it fails before it loads
    with pytest.raises(Exception, match="no data"):
        dataset.save(failing, "appended")

    assert store.contents() == before


def failing() -> list[object]:
    raise ValueError("no data")
