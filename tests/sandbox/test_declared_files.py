"""A file that the configuration declares for a destination is not opened by tests, on any way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import dlt
import duckdb
import pytest
from conftest import MakeSandbox

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated

MANIFEST = """
destinations:
  warehouse:
    type: duckdb
    credentials: "{folder}/dev.duckdb"
  unnamed:
    type: duckdb
  lake:
    type: filesystem
    bucket_url: "{folder}/lake"
  lite:
    type: sqlalchemy
    credentials: "sqlite:///{folder}/lite.sqlite"
profiles:
  prod:
    destinations:
      warehouse:
        credentials: "{{env.PRODUCTION}}/prod.duckdb"
"""
SETTINGS = """
[destination.reports]
destination_type = "duckdb"
credentials = "{folder}/reports.duckdb"

[nightly.destination.marts.credentials]
database = "{folder}/marts.duckdb"
"""
DECLARED = ("dev", "prod", "reports", "marts", "variable")


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of production's files, which a project, its settings and variables declare."""
    folder, root = tmp_path / "production", tmp_path / "project"
    for made in (folder, folder / "lake", root / ".dlt"):
        made.mkdir(parents=True)
    (root / "dlt.yml").write_text(MANIFEST.format(folder=folder), encoding="utf-8")
    settings = root / ".dlt" / "prod.config.toml"
    settings.write_text(SETTINGS.format(folder=folder), encoding="utf-8")
    monkeypatch.setenv("PRODUCTION", str(folder))
    monkeypatch.setenv("DESTINATION__EXTRA__CREDENTIALS", f"duckdb:///{folder}/variable.duckdb")
    monkeypatch.chdir(root)
    return folder


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_file_is_not_written_though_no_destination_is_used(
    make_sandbox: MakeSandbox, production: Path, name: str
) -> None:
    path = production / f"{name}.duckdb"
    with isolated(make_sandbox(project=Path.cwd())):
        with duckdb.connect(path) as connection:
            connection.execute("CREATE TABLE orders (id BIGINT)")
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{path}' AS prod; DROP TABLE prod.orders")

    assert not path.exists()


def test_a_test_reads_by_the_declared_path_what_it_has_loaded(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox(project=Path.cwd())):
        pipeline = dlt.pipeline("shop", destination="warehouse", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="orders")
        with duckdb.connect(production / "dev.duckdb", read_only=True) as connection:
            assert connection.sql("SELECT id FROM data.orders").fetchall() == [(1,)]


def test_the_file_of_a_destination_without_a_place_is_declared_too(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    path = Path.cwd() / "_data" / "prod" / "local" / "unnamed.duckdb"
    path.parent.mkdir(parents=True)
    with isolated(make_sandbox(project=Path.cwd())):
        duckdb.connect(path).execute("CREATE TABLE orders (id BIGINT)").close()

    assert not path.exists()


def test_files_of_sqlite_and_of_its_datasets_are_not_written(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox(project=Path.cwd())):
        for name in ("lite", "lite__data"):
            connection = sqlite3.connect(production / f"{name}.sqlite")
            connection.execute("CREATE TABLE orders (id)")
            connection.close()

    assert not [*production.glob("lite*")]


def test_nothing_is_exported_into_a_declared_folder_or_file(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    with isolated(make_sandbox(project=Path.cwd())):
        for place in (production / "lake" / "orders.parquet", production / "dev.duckdb"):
            with pytest.raises(RemoteDestinationBlocked, match=place.name):
                duckdb.connect().execute(f"COPY (SELECT 1) TO '{place}' (FORMAT parquet)")
        with pytest.raises(RemoteDestinationBlocked, match=r"orders\.csv"):
            duckdb.connect().sql("SELECT 1").write_csv(str(production / "lake" / "orders.csv"))

    assert not [*production.rglob("orders*")]


def test_a_file_that_nobody_declares_and_one_of_the_test_are_opened_as_they_are(
    make_sandbox: MakeSandbox, production: Path
) -> None:
    other, own = production / "other.duckdb", production / "dev.duckdb"
    with isolated(make_sandbox(project=Path.cwd())):
        duckdb.connect(other).close()
    with isolated(make_sandbox("own", project=Path.cwd(), local_roots=(str(production),))):
        duckdb.connect(own).close()

    assert other.exists()
    assert own.exists()


def test_settings_of_plain_code_declare_files_beside_them(
    make_sandbox: MakeSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / ".dlt" / "config.toml"
    settings.parent.mkdir()
    settings.write_text('[destination.raw]\ncredentials = "raw.duckdb"\n', encoding="utf-8")
    with isolated(make_sandbox()):
        duckdb.connect("raw.duckdb").execute("CREATE TABLE orders (id BIGINT)").close()

    assert not (tmp_path / "raw.duckdb").exists()
