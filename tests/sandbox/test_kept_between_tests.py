"""What one test leaves in objects and folders is not there in the next one."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed
from folders import snapshot

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox


@dlt.source(schema_contract={"columns": "freeze"})
def shop() -> Any:
    return dlt.resource([], name="orders", columns={"id": {"data_type": "bigint"}})


def rows(source: Any, *loaded: dict[str, Any]) -> Any:
    source.resources["orders"]._pipe.replace_gen(list(loaded))
    return source


def run(source: Any) -> None:
    dlt.pipeline("shop", destination="duckdb", dataset_name="data").run(source)


@pytest.mark.parametrize("copied", [False, True], ids=["object", "copy"])
def test_a_source_of_a_module_does_not_know_what_an_earlier_test_has_loaded(
    make_sandbox: MakeSandbox, copied: bool
) -> None:
    # as a module makes it, once
    source = shop()

    def used() -> Any:
        return source.with_resources("orders") if copied else source

    with isolated(make_sandbox("first")):
        # of a new table, columns are free
        run(rows(used(), {"id": 1, "surprise": "x"}))
    with isolated(make_sandbox("second")):
        run(rows(used(), {"id": 1}))
        with pytest.raises(PipelineStepFailed, match="surprise"):
            run(rows(used(), {"id": 2, "surprise": "x"}))


def test_in_one_test_a_source_keeps_what_it_has_learned(make_sandbox: MakeSandbox) -> None:
    source = shop()
    with isolated(make_sandbox()):
        run(rows(source, {"id": 1, "surprise": "x"}))
        run(rows(source, {"id": 2, "surprise": "y"}))

        assert "surprise" in source.schema.tables["orders"]["columns"]


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A folder with a schema that a team has written: `price` is a text."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    schema = Schema("shop")
    columns: Any = {"price": {"name": "price", "data_type": "text"}}
    schema.update_table({"name": "items", "columns": columns})
    (folder / "shop.schema.yaml").write_text(schema.to_pretty_yaml())
    return folder


@pytest.mark.parametrize("way", ["arguments", "variables"])
def test_schemas_are_imported_from_and_exported_to_copies(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, schemas: Path, way: str
) -> None:
    before = snapshot(schemas)
    folders = dict.fromkeys(("import_schema_path", "export_schema_path"), str(schemas))
    if way == "variables":
        for name, folder in folders.items():
            monkeypatch.setenv(name.upper(), folder)
        folders = {}
    for more in ("one", "other"):
        with isolated(make_sandbox(more)):
            pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data", **folders)
            pipeline.run([{"price": 5, more: 1}], table_name="items")

            columns = pipeline.default_schema.tables["items"]["columns"]
            assert columns["price"]["data_type"] == "text"
            assert {*columns} - {"_dlt_id", "_dlt_load_id"} == {"price", more}
    assert snapshot(schemas) == before


def test_a_folder_of_schemas_that_is_not_there_is_not_made(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "schemas"
    with isolated(make_sandbox()):
        dlt.pipeline("shop", destination="duckdb", import_schema_path=str(folder)).run(
            [{"id": 1}], table_name="items"
        )
        # pipelines that share the folder share its copy
        other = dlt.pipeline("shop", destination="duckdb", export_schema_path=str(folder))
        assert other._schema_storage.config.export_schema_path is not None
    assert not folder.exists()


def test_a_pipeline_of_a_module_imports_its_schemas_in_every_test(
    make_sandbox: MakeSandbox, schemas: Path
) -> None:
    # made outside of any sandbox, as by a module
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline(
            "shop", destination="duckdb", dataset_name="data", import_schema_path=str(schemas)
        )
    for name in ("first", "second"):
        with isolated(make_sandbox(name)):
            pipeline.run([{"price": 5}], table_name="items")
            assert pipeline.default_schema.tables["items"]["columns"]["price"]["data_type"] == (
                "text"
            )


def test_pipelines_of_one_second_have_datasets_of_their_own(make_sandbox: MakeSandbox) -> None:
    names = []
    with isolated(make_sandbox()):
        for number in range(1, 12):
            pipeline = dlt.pipeline(
                "shop", destination="duckdb", dataset_name="data", dev_mode=True
            )
            pipeline.run([{"id": n} for n in range(number)], table_name="items")
            names.append(pipeline.dataset_name)
            assert len(pipeline.dataset()["items"].fetchall()) == number
    assert len(set(names)) == 11
    assert all(len(name) == len("data_20260101120000") for name in names)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("reference", ["postgres", "duckdb", "filesystem"])
def test_a_destination_in_a_cache_follows_the_tests(
    make_sandbox: MakeSandbox, reference: str
) -> None:
    @functools.cache
    def warehouse() -> Any:
        return dlt.destination(reference, destination_name="warehouse")

    for name in ("first", "second"):
        sandbox = make_sandbox(name)
        with isolated(sandbox):
            # of a fixture of this test, in a sandbox around it
            with isolated(make_sandbox(f"{name}-inner")):
                read = dlt.destination(reference, destination_name="warehouse")
                assert read is not warehouse()
            pipeline = dlt.pipeline("shop", destination=warehouse(), dataset_name="data")
            pipeline.run([{"id": 1}], table_name="items")
            assert pipeline.dataset()["items"].fetchall()[0][0] == 1
            assert len(pipeline.dataset()["items"].fetchall()) == 1
            reader = dlt.dataset(warehouse(), "data")
            assert len(reader["items"].fetchall()) == 1
        # as a passed test's
        shutil.rmtree(sandbox.folder)


def load_one(value: int) -> None:
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
    pipeline.run([{"id": value}], table_name="items")


def of_pipeline() -> dlt.Dataset:
    return dlt.pipeline("shop", destination="duckdb", dataset_name="data").dataset()


def of_destination() -> dlt.Dataset:
    # the file that dlt chooses for the pipeline
    load_one(0)
    pipeline = dlt.pipeline("shop", destination="duckdb", dataset_name="data")
    assert pipeline.destination is not None
    return dlt.dataset(pipeline.destination, "data")


DATASETS: dict[str, Callable[[], Any]] = {
    "dataset of a pipeline": of_pipeline,
    "dataset of a destination": of_destination,
    "table": lambda: of_pipeline()["items"].select("id"),
    "query": lambda: of_pipeline().query("SELECT id FROM items WHERE id > 0"),
    "relation": lambda: of_pipeline()["items"].select("id").where("id", "gt", 0),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kept_folder", [True, False])
@pytest.mark.parametrize("what", DATASETS)
def test_a_dataset_in_a_cache_follows_the_tests(
    make_sandbox: MakeSandbox, what: str, kept_folder: bool
) -> None:
    @functools.cache
    def cached() -> Any:
        return DATASETS[what]()

    def ids() -> list[int]:
        kept = cached()
        relation = kept["items"].select("id") if isinstance(kept, dlt.Dataset) else kept
        return sorted(row[0] for row in relation.fetchall() if row[0])

    for value in (1, 2):
        sandbox = make_sandbox(f"loads-{value}")
        with isolated(sandbox):
            load_one(value)
            assert ids() == ids() == [value]
            if isinstance(cached(), dlt.Dataset):
                assert dict(cached().row_counts().fetchall())["items"] >= 1
        if not kept_folder:
            shutil.rmtree(sandbox.folder)
    # what another test has loaded is not there
    with isolated(make_sandbox("loads-nothing")), pytest.raises(Exception, match=r"items|resolve"):
        ids()


@pytest.mark.parametrize("kept_folder", [True, False])
def test_a_relation_in_a_cache_has_the_columns_that_this_test_has_loaded(
    make_sandbox: MakeSandbox, kept_folder: bool
) -> None:
    cached: list[dlt.Relation] = []
    for column in ("one", "two"):
        sandbox = make_sandbox(f"loads-{column}")
        with isolated(sandbox):
            pipeline = dlt.pipeline("shop", destination="postgres", dataset_name="main")
            pipeline.run([{"id": 1, column: 1}], table_name="items")
            cached = cached or [pipeline.dataset()["items"]]
            columns = {name for name in cached[0].columns if not name.startswith("_dlt")}
            assert columns == {"id", column}
            assert columns <= {*cached[0].df().columns} == {*cached[0].columns_schema}
        if not kept_folder:
            shutil.rmtree(sandbox.folder)


def pipeline_to(reference: str) -> dlt.Pipeline:
    destination = (
        dlt.destinations.sqlalchemy("sqlite:///shop.db") if "sql" in reference else reference
    )
    return dlt.pipeline("shop", destination=destination, dataset_name="main")


def ids_of(kept: Any) -> list[int]:
    if hasattr(kept, "fs_client"):
        return [len(kept.list_table_files("items"))]
    with kept as client:
        return [row[0] for row in client.execute_sql("SELECT id FROM items")]


CLIENTS: dict[str, tuple[str, Callable[[dlt.Pipeline], Any]]] = {
    "client of SQL": ("duckdb", lambda pipeline: pipeline.sql_client()),
    "named": ("warehouse", lambda pipeline: pipeline.sql_client()),
    "of a dataset": ("duckdb", lambda pipeline: pipeline.dataset().sql_client),
    "of SQLite": ("sqlite", lambda pipeline: pipeline.sql_client()),
    "of a destination": ("duckdb", lambda pipeline: pipeline.destination_client().sql_client),
    "SQL of files": ("filesystem", lambda pipeline: pipeline.sql_client()),
    "files": ("filesystem", lambda pipeline: pipeline._fs_client()),
}


@pytest.mark.sampled(2)
@pytest.mark.filterwarnings("ignore:.*sqlite")
@pytest.mark.parametrize("what", CLIENTS)
def test_a_client_in_a_cache_follows_the_tests(make_sandbox: MakeSandbox, what: str) -> None:
    reference, make = CLIENTS[what]
    cached: list[Any] = []
    for value in (1, 2):
        with isolated(make_sandbox(f"loads-{value}")):
            pipeline = pipeline_to(reference)
            pipeline.run([{"id": value}], table_name="items")
            cached = cached or [make(pipeline)]
            expected = [1] if what == "files" else [value]
            assert ids_of(cached[0]) == ids_of(cached[0]) == expected


def test_a_connection_that_code_keeps_open_is_closed_with_its_test(
    make_sandbox: MakeSandbox,
) -> None:
    pytest.importorskip("ibis")
    with isolated(make_sandbox("first")):
        load_one(1)
        client = of_pipeline().sql_client
        connection = client.open_connection()
        relation = connection.sql("SELECT id FROM data.items")
        backend = of_pipeline().ibis()
        assert backend.table("items").id.to_list() == [1]
    with isolated(make_sandbox("second")):
        load_one(2)
        for read in (
            lambda: connection.execute("SELECT 1"),
            relation.fetchall,
            lambda: backend.sql("SELECT id FROM items"),
        ):
            with pytest.raises(Exception, match="closed"):
                read()
        # the client itself opens another one
        assert client.execute_sql("SELECT id FROM items") == [(2,)]


@pytest.mark.parametrize("what", ["client of SQL", "SQL of files", "files", "server"])
def test_a_client_that_a_module_has_made_before_any_sandbox_is_blocked(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "outside"))
    reference, make = CLIENTS.get(what, CLIENTS["client of SQL"])
    destination: Any = reference
    if what == "server":
        destination = dlt.destinations.postgres("postgresql://u:p@db.invalid/prod")
    elif "files" in what:
        destination = dlt.destinations.filesystem((tmp_path / "lake").as_uri())
    client = make(dlt.pipeline("shop", destination=destination, dataset_name="data"))

    with (
        isolated(make_sandbox()),
        pytest.raises(RemoteDestinationBlocked, match="was made outside"),
    ):
        ids_of(client)


def test_a_client_of_a_fixture_of_wider_scope_stays_where_it_is(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox("wider")):
        load_one(1)
        client = of_pipeline().sql_client
        with isolated(make_sandbox("test")), client:
            load_one(2)
            assert client.execute_sql("SELECT id FROM items") == [(1,)]


def test_a_dataset_of_a_fixture_of_wider_scope_stays_where_it_is(
    make_sandbox: MakeSandbox,
) -> None:
    with isolated(make_sandbox("wider")):
        load_one(1)
        dataset = of_pipeline()
        for name in ("first", "second"):
            with isolated(make_sandbox(name)):
                load_one(2)
                assert dataset["items"].select("id").fetchall() == [(1,)]
