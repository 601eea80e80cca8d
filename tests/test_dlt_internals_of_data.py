"""Contracts with dlt about reading and loading: on the lowest and the newest version."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from dlt.common.destination.exceptions import DestinationTransientException
from dlt.pipeline.exceptions import PipelineStepFailed
from failing import FailingDestination

from dlthub_project.catalog import journals
from dlthub_project.dlt_internals import datasets, pipelines, relations, sql_clients
from dlthub_project.dlt_internals import destinations as dlt_places


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep plain pipelines out of dlt's global folder."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "data"))


def on_duckdb(name: str, tmp_path: Path) -> dlt.Pipeline:
    made: dlt.Pipeline = dlt.pipeline(
        name,
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.duckdb(str(tmp_path / "shop.duckdb")),
        dataset_name=name,
    )
    return made


@pytest.fixture
def loaded(tmp_path: Path) -> dlt.Pipeline:
    """A pipeline that has loaded a table of items."""
    pipeline = on_duckdb("orders", tmp_path)
    pipeline.run([{"id": 1, "n": 2}, {"id": 2, "n": 3}], table_name="items")
    return pipeline


@pytest.mark.leans_on(
    "dlt.pipeline.pipeline:with_state_sync", "dlt.pipeline.pipeline:Pipeline.extract"
)
def test_the_pipeline_that_extracts_is_known_and_one_that_is_only_active_is_not(
    tmp_path: Path,
) -> None:
    seen: list[Any] = []

    @dlt.resource
    def numbers() -> Iterator[Any]:
        seen.append(relations.extracting_pipeline())
        yield {"id": 1}

    pipeline = on_duckdb("numbers", tmp_path)
    list(numbers())
    pipeline.run(numbers())

    assert seen == [None, pipeline]
    assert relations.extracting_pipeline() is None


@pytest.mark.leans_on("dlt.extract.pipe_iterator:PipeIterator.__next__")
def test_the_resource_that_extracts_is_known(tmp_path: Path) -> None:
    seen: list[str] = []

    @dlt.resource(table_name="others")
    def numbers() -> Iterator[Any]:
        seen.append(relations.extracting_resource().compute_table_schema()["name"] or "")
        yield {"id": 1}

    on_duckdb("numbers", tmp_path).run(numbers())

    assert seen == ["others"]


@pytest.mark.leans_on("dlt.normalize.configuration:ItemsNormalizerConfiguration")
def test_ids_of_rows_are_given_where_they_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not relations.gives_row_ids()
    assert relations.gives_load_ids()

    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID", "true")
    monkeypatch.setenv("NORMALIZE__MODEL_NORMALIZER__ADD_DLT_LOAD_ID", "false")
    assert relations.gives_row_ids()
    assert not relations.gives_load_ids()


@pytest.mark.leans_on("dlt.destinations.job_client_impl:SqlJobClientBase")
def test_a_destination_inserts_from_what_lives_there_alone(
    loaded: dlt.Pipeline, tmp_path: Path
) -> None:
    items = loaded.dataset().table("items")
    lake = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(tmp_path / "lake")))
    lake.run([{"id": 1}], table_name="items")
    elsewhere = dlt.destinations.duckdb(str(tmp_path / "other.duckdb"))

    assert relations.inserts_from(on_duckdb("reports", tmp_path), items)
    assert not relations.inserts_from(dlt.pipeline("other", destination=elsewhere), items)
    assert not relations.inserts_from(lake, lake.dataset().table("items"))


@pytest.mark.leans_on("dlt.pipeline.pipeline:Pipeline._get_destination_clients")
def test_the_columns_that_a_table_has_at_its_destination_are_known(tmp_path: Path) -> None:
    seen: list[Any] = []

    @dlt.resource
    def numbers() -> Iterator[Any]:
        pipeline = relations.extracting_pipeline()
        assert pipeline
        seen.append(
            {n: c["data_type"] for n, c in relations.stored_columns(pipeline, "numbers").items()}
        )
        yield {"id": 1.5 * len(seen)}

    for refresh in (None, None, "drop_sources"):
        on_duckdb("numbers", tmp_path).run(numbers(), refresh=refresh)  # type: ignore[arg-type]

    there = {"id": "double", "_dlt_load_id": "text", "_dlt_id": "text"}
    assert seen == [{}, there, {}]


@pytest.mark.leans_on(
    "dlt.dataset.relation:Relation.to_ibis", "dlt.helpers.ibis:create_unbound_ibis_table"
)
def test_expressions_of_ibis_are_queries_of_their_dataset(loaded: dlt.Pipeline) -> None:
    dataset = loaded.dataset()
    items = dataset.table("items").to_ibis()

    assert relations.is_ibis(items.id)
    assert not relations.is_ibis("SELECT id FROM items")
    assert relations.dataset_of_ibis(items.select("id")) is dataset
    text = relations.ibis_as_sql(items.id.max(), dataset.destination_dialect)
    assert dataset(text).fetchall() == dataset("SELECT max(id) FROM items").fetchall()
    both = dataset("SELECT id FROM items UNION ALL SELECT id FROM items")
    assert relations.as_select(both).fetchall() == both.fetchall()
    assert relations.as_select(both).columns == both.columns


@pytest.mark.leans_on("dlt.dataset.relation:Relation.sqlglot_expression")
def test_the_tables_and_joins_of_a_relation_are_known(loaded: dlt.Pipeline) -> None:
    items = loaded.dataset().table("items")
    joined = loaded.dataset()("SELECT a.id FROM items AS a LEFT JOIN items AS b ON a.id = b.n")

    assert relations.reads_table(items, loaded, "items")
    assert not relations.reads_table(items, loaded, "others")
    assert relations.has_outer_join(joined)
    assert not relations.has_outer_join(items)


@pytest.mark.leans_on("dlt.dataset.relation:Relation.sqlglot_expression")
def test_the_one_table_whose_rows_a_relation_has_is_known(loaded: dlt.Pipeline) -> None:
    dataset = loaded.dataset()
    (table, *_) = dataset.tables

    found = relations.table_of(dataset[table].where("1 = 1").limit(2))

    assert found is not None
    assert (found[0].dataset_name, found[1]) == (dataset.dataset_name, table)
    assert relations.table_of(dataset(f"SELECT count(*) AS n FROM {table}")) is None


@pytest.mark.leans_on(
    "dlt.destinations.impl.filesystem.filesystem:FilesystemClient.list_table_files"
)
def test_the_format_of_a_tables_files_is_known(tmp_path: Path) -> None:
    lake = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(tmp_path / "lake")))
    lake.run([{"id": 1}], table_name="items", loader_file_format="parquet")
    lake.run([{"id": 1}], table_name="others", loader_file_format="jsonl")
    schema = lake.default_schema

    assert datasets.file_format_there(lake, schema, "items") == "parquet"
    assert datasets.file_format_there(lake, schema, "others") == "jsonl"
    assert datasets.file_format_there(lake, schema, "nowhere") is None


@pytest.mark.leans_on("dlt.destinations.impl.duckdb.configuration:DuckDbBaseCredentials")
def test_one_file_is_one_place_whatever_the_dataset(tmp_path: Path, loaded: dlt.Pipeline) -> None:
    with loaded.destination_client() as client:
        places = {dlt_places.physical_place(client, name) for name in ("one", "other")}

    assert places == {str((tmp_path / "shop.duckdb").resolve())}


@pytest.mark.leans_on("dlt.common.configuration.container:Container._thread_context")
def test_a_thread_of_a_pool_of_dlt_works_for_the_one_that_made_it() -> None:
    mine = pipelines.thread_of_work()

    with ThreadPoolExecutor(1, thread_name_prefix=f"dlt-pool-{mine}-1") as pool:
        assert pool.submit(pipelines.thread_of_work).result() == mine
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(pipelines.thread_of_work).result() != mine


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        ({"data_type": "bigint"}, pa.float64(), pa.int64()),
        ({"data_type": "bigint"}, pa.int64(), None),
        ({"data_type": "text"}, pa.int64(), None),
        ({}, pa.int64(), None),
    ],
)
@pytest.mark.leans_on("dlt.common.libs.pyarrow:get_py_arrow_datatype")
def test_a_type_that_may_lose_a_part_of_a_value_is_known(
    column: Any, kind: Any, expected: Any
) -> None:
    assert datasets.narrower_arrow_type(column, kind) == expected


@pytest.mark.leans_on("dlt.dataset.dataset:Dataset.__init__")
def test_a_dataset_is_copied_without_its_connections(loaded: dlt.Pipeline) -> None:
    dataset = loaded.dataset()
    dataset.table("items").fetchall()
    made = copy.copy(loaded.dataset())
    state = pickle.dumps(datasets.without_connections(dataset))
    datasets.restore_dataset(made, pickle.loads(state))

    assert made.table("items").select("id").fetchall() == [(1,), (2,)]


@pytest.mark.leans_on(
    "dlt.load.load:Load.load_single_package",
    "dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient.begin_transaction",
)
def test_a_failed_load_of_an_atomic_pipeline_leaves_neither_tables_nor_rows(
    tmp_path: Path, loaded: dlt.Pipeline
) -> None:
    def tables() -> list[Any]:
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
            return connection.execute(
                "SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY ALL"
            ).fetchall()

    before = tables()
    place = journals.undoable(loaded.destination, tmp_path / "journal")  # type: ignore[arg-type]
    pipeline = dlt.pipeline(
        "saving",
        pipelines_dir=str(tmp_path / "saving"),
        destination=place,
        dataset_name="orders",
        _impl_cls=journals.AtomicPipeline,
    )
    columns: Any = {"id": {"data_type": "bigint", "precision": 8}}
    with pytest.raises(PipelineStepFailed):
        pipeline.run(
            [dlt.resource([{"id": 1}], name="fine"), dlt.resource([{"id": 1000}], name="fails")],
            columns=columns,
        )

    assert tables() == before


@pytest.mark.leans_on("dlt.dataset.relation:Relation.to_sql")
def test_a_table_of_another_database_is_reached_through_its_catalog(
    loaded: dlt.Pipeline, tmp_path: Path
) -> None:
    query = relations.query_in(loaded.dataset().table("items").select("id"), catalog="there")

    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{tmp_path / 'shop.duckdb'}' AS there (READ_ONLY)")
        assert connection.execute(query).fetchall() == [(1,), (2,)]


@pytest.mark.leans_on("dlt.destinations.impl.filesystem.sql_client:FilesystemSqlClient")
def test_files_are_tables_of_another_database(tmp_path: Path) -> None:
    lake = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(tmp_path / "lake")))
    lake.run([{"id": 1}], table_name="items")
    dataset = lake.dataset()

    with duckdb.connect(str(tmp_path / "cache.duckdb")) as connection:
        files = datasets.file_tables(dataset, connection)
        assert files is not None
        with files:
            query = files.query(dataset.table("items").select("id"))
            assert connection.execute(query).fetchall() == [(1,)]


@pytest.mark.leans_on("dlt.destinations.impl.filesystem.filesystem:FilesystemClient")
def test_databases_are_no_files(loaded: dlt.Pipeline) -> None:
    with duckdb.connect() as connection:
        assert datasets.file_tables(loaded.dataset(), connection) is None


@pytest.mark.leans_on("dlt.common.libs.pyarrow:columns_to_arrow")
def test_an_empty_table_has_the_types_that_the_rows_are_read_with(loaded: dlt.Pipeline) -> None:
    relation = loaded.dataset().table("items").select("id", "n")
    empty = datasets.empty_arrow_table(loaded.dataset(), relation.columns_schema)

    assert empty.num_rows == 0
    assert empty.schema.types == relation.arrow().schema.types


@pytest.mark.postgres
@pytest.mark.leans_on("dlt.destinations.sql_client:DBApiCursorImpl.iter_fetch")
def test_chunks_of_postgres_stay_on_the_server(postgres_url: str) -> None:
    from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient

    client: Any = datasets.open_destination(
        dlt.destinations.postgres(postgres_url), "any_dataset", "any"
    ).sql_client
    assert isinstance(client, Psycopg2SqlClient)
    sql_clients.leave_on_server(client)

    with client, client.execute_query("SELECT generate_series(1, 10)") as cursor:
        chunks = cursor.iter_fetch(4)
        assert [len(next(chunks)) for _ in range(3)] == [4, 4, 2]
        assert cursor.native_cursor.name


@pytest.mark.leans_on("dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient.open_connection")
def test_a_client_uses_a_connection_that_somebody_else_has_opened(loaded: dlt.Pipeline) -> None:
    with (
        loaded.sql_client() as opened,
        pipelines.destination_client(loaded, loaded.default_schema) as other,
    ):
        client: Any = other.sql_client  # type: ignore[attr-defined]  # of SQL destinations
        client.close_connection()
        sql_clients.use_connection(client, opened.native_connection)

        assert client.native_connection is opened.native_connection
        assert client.execute_sql("SELECT count(*) FROM items") == [(2,)]

        sql_clients.use_connection(client, None)

        assert client.native_connection is None


@pytest.mark.leans_on("dlt:pipeline")
def test_a_pipeline_is_made_of_a_subclass(tmp_path: Path) -> None:
    class Counting(dlt.Pipeline):
        pass

    made = pipelines.pipeline_of_class(
        Counting, pipeline_name="counted", pipelines_dir=str(tmp_path), destination="duckdb"
    )

    assert isinstance(made, Counting)
    assert made.pipeline_name == "counted"


@pytest.mark.leans_on(
    "dlt.common.storages.normalize_storage:NormalizeStorage",
    "dlt.common.storages.load_package:PackageStorage.save_schema",
)
def test_extracted_rows_are_read_as_they_were_given_and_packages_take_another_schema(
    tmp_path: Path,
) -> None:
    day, pipeline = dt.date(2024, 1, 1), on_duckdb("extracted", tmp_path)
    resources = [
        dlt.resource([{"id": 1, "day": day}], name="rows"),
        dlt.resource(pa.table({"id": [1]}), name="arrow"),
    ]
    pipeline.extract(resources)
    found = {name: (path, schema) for path, name, schema in pipelines.extracted_files(pipeline)}

    assert list(pipelines.extracted_rows(found["rows"][0])) == [{"id": 1, "day": day}]
    assert list(pipelines.extracted_rows(found["arrow"][0])) == []
    assert pa.parquet.read_table(found["arrow"][0]).to_pylist() == [{"id": 1}]
    assert found["arrow"][1].tables["arrow"]["columns"]["id"]["data_type"] == "bigint"

    def allow_nulls(schema: dlt.Schema) -> bool:
        schema.tables["rows"]["columns"]["_dlt_id"]["nullable"] = True
        return True

    pipeline.normalize()
    pipelines.change_packaged_schemas(pipeline, allow_nulls)
    pipeline.load()
    with pipeline.sql_client() as client:
        client.execute_sql("INSERT INTO rows (id, _dlt_load_id) VALUES (2, 'none')")


@pytest.mark.leans_on(
    "dlt.load.load:Load.complete_jobs", "dlt.load.configuration:LoaderConfiguration"
)
def test_the_first_error_of_a_job_ends_the_load_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "3")
    shop = FailingDestination(4, lambda: DestinationTransientException("the shop is closed"))
    pipeline = dlt.pipeline("closed", pipelines_dir=str(tmp_path), destination=shop.make())
    with pipelines.job_errors_raised_at_once(pipeline), pytest.raises(PipelineStepFailed):
        pipeline.run([{"id": 1}], table_name="items")
    assert shop.calls == 1

    # what is configured holds again
    with pytest.raises(PipelineStepFailed):
        pipeline.load()
    assert shop.calls == 3


@pytest.mark.leans_on("dlt.dataset.dataset:Dataset.__init__")
def test_a_dataset_is_moved_with_what_it_knows_of_its_place(tmp_path: Path) -> None:
    pipeline = dlt.pipeline("moved", destination=dlt.destinations.duckdb(str(tmp_path / "a.db")))
    pipeline.run([{"id": 1}], table_name="items", dataset_name="data")
    dataset = pipeline.dataset()
    assert dataset["items"].select("id").fetchall() == [(1,)]

    other = dlt.destinations.duckdb(str(tmp_path / "b.db"))
    elsewhere = str(tmp_path / "pipelines")
    dlt.pipeline("moved", elsewhere, destination=other, dataset_name="data").run(
        [{"name": "b"}], table_name="others"
    )
    datasets.move(dataset, other, is_of_pipeline=True)

    assert dataset["others"].select("name").fetchall() == [("b",)]
    # dlt 1.29 keeps no client
    assert {*datasets.ATTRIBUTES_OF_PLACE} - {"_destination_client"} <= {*vars(dataset)}


@pytest.mark.leans_on(
    "dlt.destinations.job_client_impl:SqlJobClientBase.get_storage_tables",
    "dlt.common.libs.pyarrow:get_column_type_from_py_arrow",
)
def test_the_database_tells_the_columns_of_a_table(loaded: dlt.Pipeline) -> None:
    found = datasets.columns_there(loaded, loaded.default_schema, "items")

    assert found["n"]["data_type"] == "bigint"
    assert datasets.columns_there(loaded, loaded.default_schema, "others") == {}
    columns = datasets.columns_of_arrow(pa.schema({"n": pa.int32(), "span": pa.duration("s")}))
    assert columns == {"n": {"name": "n", "data_type": "bigint", "precision": 32}}
    assert datasets.arrow_type(columns["n"]) == pa.int32()
