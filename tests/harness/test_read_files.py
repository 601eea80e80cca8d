"""Whatever a load reads is seen, whoever opens it: a change of it has data loaded again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import pyarrow.csv
import pytest

from pytest_dlthub.imports import Opened
from pytest_dlthub.templates.python_files import PythonFiles
from pytest_dlthub.templates.read_files import Build


def in_folder(read: Callable[[int], object]) -> object:
    number = os.open("data", os.O_RDONLY)
    try:
        return read(number)
    finally:
        os.close(number)


def by_number(folder: int) -> bytes:
    number = os.open("a.csv", os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(number, 9)
    finally:
        os.close(number)


def attached() -> object:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("ATTACH 'data/a.db' AS a")
        found = connection.execute("SELECT v FROM a.t").fetchall()
    connection.close()
    return found


def of_database(uri: str) -> object:
    connection = sqlite3.connect(uri, uri=True)
    found = connection.execute("SELECT v FROM t").fetchall()
    connection.close()
    return found


def sizes() -> list[int]:
    with os.scandir("data") as entries:
        return [entry.stat().st_size for entry in entries]


def of_entries() -> list[bool]:
    with os.scandir("data") as entries:
        return [entry.is_dir() for entry in entries]


def update() -> None:
    with sqlite3.connect("data/a.db") as connection:
        connection.execute("UPDATE t SET v = 'other'")
    connection.close()


def other(name: str) -> Callable[[], object]:
    return lambda: Path(name).write_text("v\nother\n")


def to_folder() -> None:
    Path("data/sub").unlink()
    Path("data/sub").mkdir()


# what reads, and what changes afterwards what it has read
ANYWHERE: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "SQLite by a URI": (lambda: of_database("file:data/a.db?mode=ro"), update),
    "opened to be written to": (lambda: Path("data/a.csv").open("r+").close(), other("data/a.csv")),
    "a folder by its number": (lambda: in_folder(os.listdir), other("data/new.csv")),
    "a hidden name in a folder": (lambda: os.listdir("data"), other("data/.new.csv")),
    "a folder in place of a file": (of_entries, to_folder),
    "sizes of entries": (sizes, other("data/a.csv")),
    "a suffix of Python": (lambda: Path("data/m.pth").read_text(), other("data/m.pth")),
    "a folder called as if installed": (
        lambda: Path("site-packages-of-shop/a.csv").read_text(),
        other("site-packages-of-shop/a.csv"),
    ),
}
ON_LINUX: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "DuckDB": (lambda: duckdb.connect().sql("FROM 'data/a.csv'").fetchall(), other("data/a.csv")),
    "Arrow": (lambda: pyarrow.csv.read_csv("data/a.csv"), other("data/a.csv")),
    "SQLite that is attached": (attached, update),
    "another process": (
        lambda: subprocess.run(["cat", "data/a.csv"], check=True, stdout=subprocess.DEVNULL),
        other("data/a.csv"),
    ),
    "a file by the number of its folder": (lambda: in_folder(by_number), other("data/a.csv")),
    "beside the module, of no suffix": (
        lambda: duckdb.connect().sql("FROM read_csv('CODES')").fetchall(),
        other("CODES"),
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("data/a.csv", "data/m.pth", "data/sub", "site-packages-of-shop/a.csv", "CODES"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("v\n1\n")
    with sqlite3.connect("data/a.db") as connection:
        connection.execute("CREATE TABLE t AS SELECT '1' AS v")
    connection.close()
    return tmp_path


@pytest.mark.parametrize("way", [*ANYWHERE, *(ON_LINUX if sys.platform == "linux" else ())])
def test_a_file_that_a_load_reads_is_one_of_its_inputs(folder: Path, way: str) -> None:
    read, change = {**ANYWHERE, **ON_LINUX}[way]
    build = Build(folder, ())
    with build.recorded(Opened(), [], []):
        read()
    assert list(build.conditions.changed(lambda name: "")) == []

    change()

    assert list(build.conditions.changed(lambda name: "")) != []


def test_what_a_load_writes_is_none_of_its_inputs(folder: Path) -> None:
    build = Build(folder, ())
    with build.recorded(Opened(), [], []):
        duckdb.connect().execute("COPY (SELECT 1 AS v) TO 'data/out.csv'")
        duckdb.connect().sql("FROM 'data/out.csv'").fetchall()

    Path("data/out.csv").write_text("v\n2\n")
    assert list(build.conditions.changed(lambda name: "")) == []


@pytest.fixture
def imported() -> Iterator[Callable[[Path], None]]:
    """Make a file that of an imported module."""
    names: list[str] = []

    def add(path: Path) -> None:
        module = ModuleType(f"of_a_load_{len(names)}")
        module.__file__ = str(path)
        names.append(module.__name__)
        sys.modules[module.__name__] = module

    yield add
    for name in names:
        del sys.modules[name]


@pytest.mark.parametrize("place", ["linked/a.py", ".hidden/a.py", "_data/a.py"])
def test_a_module_that_no_key_has_is_an_input(
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    imported: Callable[[Path], None],
    place: str,
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    if place.startswith("linked"):
        (folder / "linked").symlink_to(elsewhere)
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("A = 1")
    imported(path)
    key = PythonFiles(folder, folder / "known").digest
    build = Build(folder, ())
    with build.recorded(Opened(), [], []):
        """All that is imported counts."""

    path.write_text("A = 2")

    assert PythonFiles(folder, folder / "known").digest == key
    assert list(build.conditions.changed(lambda name: "")) == [str(path)]


def test_a_module_that_comes_to_a_place_outside_of_the_project_is_seen(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("place")
    monkeypatch.syspath_prepend(place)
    build = Build(folder, ())
    with build.recorded(Opened(), [], []):
        """Anything may be imported."""

    (place / "local_settings.py").write_text("A = 1")

    assert list(build.conditions.changed(lambda name: "")) == [str(place)]


def test_what_code_has_of_a_function_called_like_a_test_counts(folder: Path) -> None:
    Path("etl.py").write_text("import test_shop\nrows = test_shop.test_rows()")
    Path("test_shop.py").write_text("def test_rows(): return 1\ndef test_it(): pass")
    before = PythonFiles(folder, folder / "known").digest
    Path("test_shop.py").write_text("def test_rows(): return 1\ndef test_it(): assert 1")
    assert PythonFiles(folder, folder / "known").digest == before

    Path("test_shop.py").write_text("def test_rows(): return 2\ndef test_it(): assert 1")

    assert PythonFiles(folder, folder / "known").digest != before
