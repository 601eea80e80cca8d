"""SQLite by way of SQLAlchemy is embedded: local where its file is."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.destinations.impl.sqlalchemy.configuration import SqlalchemyCredentials

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import changed_destinations, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject

FILES_OUTSIDE = [
    "sqlite:///{elsewhere}/prod.db",
    "sqlite:///../../../prod.db",
    "sqlite+pysqlite:///{elsewhere}/prod.db",
    {"drivername": "sqlite", "database": "{elsewhere}/prod.db"},
]
REMOTE = ["sqlite+libsql://prod.invalid/prod", "postgresql://u:p@db.invalid/prod"]


@pytest.fixture(autouse=True)
def tests_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the profile, as the harness does."""
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")


def load(destination: Any) -> list[Any]:
    pipeline = dlt.pipeline("to_sqlite", destination=destination, dataset_name="data")
    pipeline.run([{"id": 1}], table_name="rows")
    return list(pipeline.dataset().table("rows").select("id").fetchall())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("place", FILES_OUTSIDE, ids=str)
def test_database_outside_of_the_sandbox_is_brought_into_it(
    make_sandbox: MakeSandbox, tmp_path: Path, place: Any
) -> None:
    pytest.importorskip("sqlalchemy")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if isinstance(place, dict):
        place = {key: value.format(elsewhere=elsewhere) for key, value in place.items()}
    else:
        place = place.format(elsewhere=elsewhere)

    with isolated(make_sandbox()) as sandbox:
        assert load(dlt.destinations.sqlalchemy(place)) == [(1,)]
        assert "/prod.db) -> " in changed_destinations(sandbox.folder)[0]

    written = list(tmp_path.rglob("prod*.db"))
    assert written
    assert all(path.is_relative_to(sandbox.folder) for path in written)


def test_file_in_a_uri_is_not_written_outside_of_the_sandbox(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    place = f"sqlite:///file:{tmp_path}/prod.db?uri=true"

    with isolated(make_sandbox()) as sandbox:
        assert load(dlt.destinations.sqlalchemy(place)) == [(1,)]

    # dlt takes `file:` for the name of a folder among its local files
    written = list(tmp_path.rglob("prod.db"))
    assert written
    assert all(path.is_relative_to(sandbox.folder) for path in written)
    assert [path.name for path in tmp_path.iterdir()] == ["sandbox"]


@pytest.mark.parametrize("place", REMOTE)
def test_database_elsewhere_is_blocked(make_sandbox: MakeSandbox, place: str) -> None:
    with isolated(make_sandbox()):
        destination = dlt.destinations.sqlalchemy(place)
        with pytest.raises(RemoteDestinationBlocked, match=r"\(sqlalchemy\) .* given in code"):
            # past the pipeline, which wants the driver before it connects
            dlt.dataset(destination, "data").table("rows").fetchall()


def creator_of(path: Path) -> dict[str, Any]:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path)

    return {"creator": connect}


@pytest.mark.parametrize("way", ["argument", "credentials", "engine"])
def test_function_that_connects_is_blocked(
    make_sandbox: MakeSandbox, tmp_path: Path, way: str
) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    arguments = creator_of(tmp_path / "prod.db")
    given: dict[str, Any] = {"credentials": "sqlite:///mine.db", "engine_kwargs": arguments}
    if way == "credentials":
        credentials = SqlalchemyCredentials("sqlite:///mine.db")
        credentials.engine_kwargs = arguments
        given = {"credentials": credentials}
    if way == "engine":
        given = {"credentials": sqlalchemy.create_engine("sqlite://", **arguments)}

    with (
        isolated(make_sandbox()),
        pytest.raises(RemoteDestinationBlocked, match="a function of your own"),
    ):
        load(dlt.destinations.sqlalchemy(**given))

    assert not (tmp_path / "prod.db").exists()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    "place",
    ["sqlite:///{folder}/mine.db", "sqlite:///mine.db", "sqlite+pysqlite:///{folder}/mine.db"],
)
def test_database_in_the_sandbox_is_local(
    make_sandbox: MakeSandbox, place: str, allowed: bool, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    sandbox = make_sandbox(allowed=("sqlalchemy",) if allowed else ())

    with isolated(sandbox):
        Path(sandbox.local_dir).mkdir(parents=True)
        url = place.format(folder=sandbox.local_dir)
        assert load(dlt.destinations.sqlalchemy(url)) == [(1,)]

    files = [path for path in tmp_path.rglob("*") if path.name.startswith("mine")]
    assert all(path.is_relative_to(sandbox.folder) for path in files)
    # what is allowed and was not there before is dropped
    assert any(path.name.startswith("mine__data") for path in files) is not allowed


@pytest.mark.filterwarnings("ignore:Selection of the SingletonThreadPool")
@pytest.mark.parametrize(
    "place",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:any?mode=memory&cache=shared&uri=true",
        {"drivername": "sqlite", "database": ":memory:"},
    ],
    ids=str,
)
def test_database_in_memory_is_not_blocked(make_sandbox: MakeSandbox, place: Any) -> None:
    pytest.importorskip("sqlalchemy")

    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("to_sqlite", destination=dlt.destinations.sqlalchemy(place))
        with pipeline.sql_client() as client:
            assert client.execute_sql("SELECT 1") == [(1,)]


def test_engine_is_local_where_its_file_is(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    outside = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/prod.db")

    with isolated(make_sandbox()) as sandbox:
        Path(sandbox.local_dir).mkdir(parents=True)
        inside = sqlalchemy.create_engine(f"sqlite:///{sandbox.local_dir}/mine.db")
        assert load(dlt.destinations.sqlalchemy(inside)) == [(1,)]
        inside.dispose()
        with pytest.raises(RemoteDestinationBlocked):
            load(dlt.destinations.sqlalchemy(outside))

    assert not (tmp_path / "prod.db").exists()


DECLARED = """
    destinations:
      warehouse: {{type: sqlalchemy, credentials: "sqlite:///{production}"}}
    profiles:
      tests: {{{tests}}}
"""


def test_declared_database_is_replaced(
    make_sandbox: MakeSandbox, write_project: WriteProject, tmp_path: Path
) -> None:
    project = write_project(DECLARED.format(production=tmp_path / "prod.db", tests=""))

    with isolated(make_sandbox(project=project)) as sandbox:
        assert load("warehouse") == [(1,)]
        assert Path(sandbox.local_dir, "warehouse-test.duckdb").is_file()

    assert not (tmp_path / "prod.db").exists()


def test_database_of_the_tests_profiles_own_section_is_local_in_the_sandbox(
    make_sandbox: MakeSandbox, write_project: WriteProject
) -> None:
    pytest.importorskip("sqlalchemy")
    own = 'destinations: {warehouse: {credentials: "sqlite:///mine.db"}}'
    project = write_project(DECLARED.format(production="/nowhere/prod.db", tests=own))

    with isolated(make_sandbox(project=project)) as sandbox:
        assert load("warehouse") == [(1,)]
        assert list(Path(sandbox.local_dir).glob("mine*.db"))


@pytest.mark.parametrize("variable", ["", "DESTINATION__WAREHOUSE__CREDENTIALS"])
def test_database_of_the_tests_profiles_own_section_is_brought_in(
    make_sandbox: MakeSandbox,
    write_project: WriteProject,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
) -> None:
    outside = f"sqlite:///{tmp_path}/prod.db"
    if variable:
        monkeypatch.setenv(variable, outside)
    place = "sqlite:///mine.db" if variable else outside
    own = f'destinations: {{warehouse: {{credentials: "{place}"}}}}'
    project = write_project(DECLARED.format(production="/nowhere/prod.db", tests=own))

    with isolated(make_sandbox(project=project)):
        assert load("warehouse") == [(1,)]
        dataset = dlt.dataset("warehouse", "other")
        # there is nothing in the sandbox's own file of that name
        with pytest.raises(ValueError, match="not found"):
            dataset.table("rows").fetchall()

    assert not (tmp_path / "prod.db").exists()
