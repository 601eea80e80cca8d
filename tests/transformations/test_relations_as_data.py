"""Relations of a transformation: SQL at the destination they live on, Arrow elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import transformation

MakePipeline = Callable[..., dlt.Pipeline]
ITEMS = [{"id": i, "price": 10 * i, "shop": "a" if i < 3 else "b"} for i in (1, 2, 3)]


@pytest.fixture
def make_pipeline(tmp_path: Path) -> MakePipeline:
    """Return a pipeline by name, into the DuckDB file `database`."""

    def make(name: str, database: str = "shop", dataset_name: str = "") -> dlt.Pipeline:
        made: dlt.Pipeline = dlt.pipeline(
            name,
            pipelines_dir=str(tmp_path / "pipelines"),
            destination=dlt.destinations.duckdb(str(tmp_path / f"{database}.duckdb")),
            dataset_name=dataset_name or name,
        )
        return made

    return make


@pytest.fixture
def shop(make_pipeline: MakePipeline) -> dlt.Dataset:
    """A dataset on DuckDB with a table of items."""
    loading = make_pipeline("orders")
    columns: Any = {
        "id": {"x-annotation-pii": True, "nullable": False, "description": "of the item"}
    }
    loading.run(ITEMS, table_name="items", columns=columns)
    return loading.dataset()


@transformation
def dear(data: dlt.Dataset, least: int = 20) -> Any:
    return data.table("items").where("price", "gte", least).select("id", "price")


@transformation(write_disposition="replace", name="items")
def kept(data: dlt.Dataset) -> Any:
    return data.table("items").where("price", "gte", 20)


def formats_of(pipeline: dlt.Pipeline) -> set[str]:
    """Return the file formats in which the last run loaded data."""
    info: Any = pipeline.last_trace.last_load_info
    return {
        job.job_file_info.file_format
        for package in info.load_packages
        for job in package.jobs["completed_jobs"]
        if not job.job_file_info.table_name.startswith("_dlt")
    }


def ids(dataset: dlt.Dataset, table: str) -> list[int]:
    return sorted(row[0] for row in dataset.table(table).select("id").fetchall())


def test_a_relation_on_the_same_database_stays_a_query(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    reports = make_pipeline("reports")
    reports.run(dear(shop))

    assert formats_of(reports) == {"model"}
    assert ids(reports.dataset(), "dear") == [2, 3]


def test_a_relation_on_another_database_is_read_as_arrow(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    reports = make_pipeline("reports", database="reports_file")
    reports.run(dear(shop))

    assert formats_of(reports) == {"parquet"}
    assert ids(reports.dataset(), "dear") == [2, 3]


@pytest.mark.slow
def test_error_when_a_query_has_two_columns_of_one_name(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    queries = {
        "SELECT a.id, b.id FROM items a CROSS JOIN items b": "id",
        "SELECT * FROM items a JOIN items b USING (price)": "id",
        "SELECT a.*, 1 AS shop FROM items a": "shop",
        'SELECT id AS "Id", price AS id FROM items': "id",
        'SELECT shop AS "a b", id AS a_b FROM items': "a_b",
        "SELECT id, id FROM items UNION ALL SELECT id, price FROM items": "id",
    }

    @transformation
    def doubled(data: dlt.Dataset, query: str = "") -> Any:
        return data(query)

    for database in ("reports_file", "shop"):
        reports = make_pipeline("reports", database=database)
        for query, name in queries.items():
            with pytest.raises(PipelineStepFailed, match=f"several columns.*: `{name}`: .*, "):
                reports.run(doubled(shop, query))
    with pytest.raises(PipelineStepFailed, match=re.escape('SELECT "b"."id" AS other_id')):
        reports.run(doubled(shop, next(iter(queries))))
    # what dlt adds to each table of a join is not the user's
    reports.run(doubled(shop, "SELECT a.*, b._dlt_id FROM items a JOIN items b USING (id)"))
    assert ids(reports.dataset(), "doubled") == [1, 2, 3]


@transformation(name="made")
def kinds(data: dlt.Dataset, what: str = "") -> Any:
    """Yield `what`, in this order: a query, a row, an Arrow table, rows of a table of their own."""
    for kind in what.split():
        yield {
            "query": data("SELECT id, shop FROM items"),
            "row": {"id": 8, "shop": "c"},
            "arrow": pa.table({"id": [9], "shop": ["d"]}),
            "aside": dlt.mark.with_table_name({"id": 7}, "aside"),
        }[kind]


def test_a_query_is_appended_to_a_table_that_rows_have_made(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    reports = make_pipeline("reports")
    reports.run(kinds(shop, "row"))
    reports.run(kinds(shop, "query row"))

    assert ids(reports.dataset(), "made") == [1, 2, 3, 8, 8]
    row_ids = reports.dataset().table("made").select("_dlt_id").fetchall()
    assert len({*row_ids}) == 5
    assert all(row_id for (row_id,) in row_ids)


@pytest.mark.slow
def test_data_that_a_table_cannot_have_together_leave_no_package(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    def refused(pipeline: dlt.Pipeline, what: str, message: str) -> None:
        with pytest.raises(PipelineStepFailed, match=message):
            pipeline.run(kinds(shop, what))
        assert not pipeline.has_pending_data

    queries, rows = make_pipeline("queries"), make_pipeline("rows")
    refused(queries, "query row", "`made` makes queries and rows for table `made`, and dlt gives")
    refused(queries, "row query", "rows get `_dlt_load_id` and `_dlt_id`, queries get `_dlt_load")
    refused(queries, "arrow query", "frames or Arrow data get none, queries get `_dlt_load_id`")
    queries.run(kinds(shop, "query aside query"))
    refused(queries, "row", "makes rows for table `made`, which lacks `_dlt_id`, which dlt gives")
    queries.run(kinds(shop, "query"))
    assert ids(queries.dataset(), "made") == sorted([1, 2, 3] * 3)

    rows.run(kinds(shop, "row"))
    refused(rows, "arrow", "which needs `_dlt_load_id` and `_dlt_id`, which dlt does not give them")


def test_data_of_all_kinds_are_one_table_with_the_settings_that_the_error_names(
    make_pipeline: MakePipeline, shop: dlt.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for normalizer in ("MODEL_NORMALIZER", "PARQUET_NORMALIZER"):
        monkeypatch.setenv(f"NORMALIZE__{normalizer}__ADD_DLT_ID", "true")
        monkeypatch.setenv(f"NORMALIZE__{normalizer}__ADD_DLT_LOAD_ID", "true")
    reports = make_pipeline("reports")
    reports.run(kinds(shop, "query row arrow"))
    reports.run(kinds(shop, "arrow query row"))

    assert ids(reports.dataset(), "made") == sorted([1, 2, 3, 8, 9] * 2)


def test_a_relation_of_files_is_read_as_arrow(tmp_path: Path) -> None:
    lake = dlt.destinations.filesystem(str(tmp_path / "lake"))
    loading = dlt.pipeline("orders", str(tmp_path), destination=lake, dataset_name="orders")
    loading.run(ITEMS, table_name="items")
    reports = dlt.pipeline("reports", str(tmp_path), destination=lake, dataset_name="reports")
    reports.run(dear(loading.dataset()))

    assert formats_of(reports) == {"parquet"}
    assert ids(reports.dataset(), "dear") == [2, 3]


@pytest.mark.postgres
def test_a_relation_on_postgres_stays_a_query(postgres_url: str, tmp_path: Path) -> None:
    place = dlt.destinations.postgres(postgres_url)
    name = f"t{abs(hash(tmp_path))}"
    loading = dlt.pipeline(
        "orders", str(tmp_path), destination=place, dataset_name=f"{name}_orders"
    )
    reports = dlt.pipeline(
        "reports", str(tmp_path), destination=place, dataset_name=f"{name}_reports"
    )
    try:
        loading.run(ITEMS, table_name="items")
        reports.run(dear(loading.dataset()))

        assert formats_of(reports) == {"model"}
        assert ids(reports.dataset(), "dear") == [2, 3]
    finally:
        for pipeline in (loading, reports):
            with pipeline.destination_client() as client:
                client.drop_storage()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("database", ["shop", "other"])
def test_the_hints_of_columns_are_forwarded(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    reports = make_pipeline("reports", database=database)
    reports.run(dear(shop))
    column: Any = reports.dataset().schema.tables["dear"]["columns"]["id"]

    assert column["x-annotation-pii"] is True
    assert (column["nullable"], column["data_type"]) == (False, "bigint")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("database", ["shop", "other"])
def test_columns_that_the_transformation_declares_win(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    @transformation(columns={"price": {"data_type": "double"}}, primary_key="id")
    def prices(data: dlt.Dataset) -> Any:
        return data.table("items").select("id", "price")

    reports = make_pipeline("reports", database=database)
    reports.run(prices(shop))
    columns = reports.dataset().schema.tables["prices"]["columns"]

    assert columns["price"]["data_type"] == "double"
    assert columns["id"]["primary_key"] is True
    assert reports.dataset().table("prices").select("price").fetchall()[0] == (10.0,)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("write_disposition", ["append", "replace", "merge"])
@pytest.mark.parametrize("database", ["shop", "other"])
def test_each_write_disposition_holds(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str, write_disposition: Any
) -> None:
    reports = make_pipeline("reports", database=database)
    for least in (10, 20):
        reports.run(dear(shop, least), write_disposition=write_disposition, primary_key="id")

    expected = {"append": [1, 2, 2, 3, 3], "replace": [2, 3], "merge": [1, 2, 3]}
    assert ids(reports.dataset(), "dear") == expected[write_disposition]


def test_a_table_is_replaced_by_a_query_on_itself(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    make_pipeline("orders").run(kept(shop))

    assert ids(shop, "items") == [2, 3]


def test_a_table_grows_by_a_query_on_itself(make_pipeline: MakePipeline, shop: dlt.Dataset) -> None:
    loading = make_pipeline("orders")
    loading.run(kept(shop), write_disposition="append")

    assert formats_of(loading) == {"model"}
    assert ids(shop, "items") == [1, 2, 2, 3, 3]


def test_a_column_whose_type_only_the_rows_tell_is_read_as_arrow(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    @transformation
    def places(data: dlt.Dataset) -> Any:
        return data("SELECT id, now() AS seen FROM items")

    reports = make_pipeline("reports")
    reports.run(places(shop))

    assert formats_of(reports) == {"parquet"}
    assert ids(reports.dataset(), "places") == [1, 2, 3]


@pytest.mark.parametrize("database", ["shop", "other"])
def test_aggregates_keep_their_values(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    @transformation
    def totals(data: dlt.Dataset) -> Any:
        return data(
            "SELECT shop, count(*) AS items, sum(price) AS total, avg(price) AS mean "
            "FROM items GROUP BY shop"
        )

    reports = make_pipeline("reports", database=database)
    reports.run(totals(shop))

    rows = reports.dataset().table("totals").select("shop", "items", "total", "mean").fetchall()
    assert sorted(rows) == [("a", 2, 30, 15.0), ("b", 1, 30, 30.0)]


@pytest.mark.parametrize("database", ["shop", "other"])
def test_a_relation_without_rows_makes_its_table(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    reports = make_pipeline("reports", database=database)
    reports.run(dear(shop, 1000))

    assert reports.dataset().table("dear").select("id", "price").fetchall() == []


def test_several_relations_of_several_datasets_are_loaded_together(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    staff = make_pipeline("staff", database="people")
    staff.run([{"id": 7}, {"id": 8}], table_name="items")

    @transformation
    def everything(here: dlt.Dataset, there: dlt.Dataset) -> Iterator[Any]:
        yield here.table("items").select("id")
        yield there.table("items").select("id")
        yield here.table("items").where("id", "eq", 1).select("id")

    reports = make_pipeline("reports")
    reports.run(everything(shop, staff.dataset()))

    assert formats_of(reports) == {"model", "parquet"}
    assert ids(reports.dataset(), "everything") == [1, 1, 2, 3, 7, 8]


@pytest.mark.parametrize("database", ["shop", "other"])
def test_relations_are_sent_to_tables_by_name(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    @transformation
    def by_shop(data: dlt.Dataset) -> Iterator[Any]:
        for name in ("a", "b"):
            rows = data.table("items").where("shop", "eq", name).select("id")
            yield dlt.mark.with_table_name(rows, f"shop_{name}")

    reports = make_pipeline("reports", database=database)
    reports.run(by_shop(shop))

    assert ids(reports.dataset(), "shop_a") == [1, 2]
    assert ids(reports.dataset(), "shop_b") == [3]
    assert reports.dataset().schema.data_table_names() == ["shop_a", "shop_b"]


def test_a_table_named_by_its_rows_is_loaded_row_by_row(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    @transformation(table_name=lambda row: f"shop_{row['shop']}")
    def anything(data: dlt.Dataset) -> Any:
        return data.table("items").select("id", "shop")

    reports = make_pipeline("reports")
    reports.run(anything(shop))

    assert ids(reports.dataset(), "shop_a") == [1, 2]
    assert ids(reports.dataset(), "shop_b") == [3]


def test_transformations_and_resources_share_a_source(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    @dlt.source
    def reports() -> Any:
        return dear(shop), dlt.resource([{"id": 5}], name="others"), kept(shop).with_name("kept")

    loading = make_pipeline("reports")
    loading.run(reports())

    assert ids(loading.dataset(), "dear") == [2, 3]
    assert ids(loading.dataset(), "others") == [5]
    assert ids(loading.dataset(), "kept") == [2, 3]


def test_the_rows_are_there_when_a_transformation_is_only_iterated(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    make_pipeline("reports")  # active, and loads nothing

    assert [row["id"] for page in dear(shop) for row in page.to_pylist()] == [2, 3]
    assert [page.num_rows for page in dear(shop).add_map(lambda page: page)] == [2]


def test_a_parallelized_transformation_is_loaded(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    @transformation(parallelized=True)
    def slow(data: dlt.Dataset) -> Iterator[Any]:
        yield data.table("items").select("id")

    reports = make_pipeline("reports")
    reports.run(slow(shop))

    assert ids(reports.dataset(), "slow") == [1, 2, 3]


@pytest.mark.parametrize("database", ["shop", "other"])
def test_an_outer_join_may_have_nulls_in_columns_that_have_none_in_their_table(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    @transformation
    def pairs(data: dlt.Dataset) -> Any:
        return data(
            "SELECT a.id AS id, b.id AS other "
            "FROM items AS a LEFT JOIN items AS b ON b.id = a.id + 1"
        )

    reports = make_pipeline("reports", database=database)
    reports.run(pairs(shop))

    rows = reports.dataset().table("pairs").select("id", "other").fetchall()
    assert sorted(rows, key=str) == [(1, 2), (2, 3), (3, None)]


@pytest.mark.parametrize("database", ["shop", "other"])
def test_load_ids_are_left_out_where_the_configuration_says_so(
    make_pipeline: MakePipeline,
    shop: dlt.Dataset,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NORMALIZE__MODEL_NORMALIZER__ADD_DLT_LOAD_ID", "false")
    reports = make_pipeline("reports", database=database)
    reports.run(dear(shop))
    reports.run(dear(shop))

    assert formats_of(reports) == {"model" if database == "shop" else "parquet"}
    assert ids(reports.dataset(), "dear") == [2, 2, 3, 3]
    assert set(reports.dataset().table("dear").columns) == {"id", "price"}


def test_a_text_that_is_a_query_over_the_dataset_is_loaded_as_that_query(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    @transformation
    def dear_items(data: dlt.Dataset) -> Iterator[Any]:
        yield "SELECT id, price FROM items WHERE price > 20"
        yield "WITH few AS (SELECT * FROM items) SELECT id, price FROM few WHERE id = 1;"
        yield dlt.mark.with_table_name("SELECT id FROM items", "all_items")

    @transformation
    def both(data: dlt.Dataset) -> Any:
        return "SELECT id FROM items UNION ALL SELECT price FROM items WHERE id = 3"

    reports = make_pipeline("reports")
    reports.run([dear_items(shop), both(shop)])

    assert formats_of(reports) == {"model"}
    assert ids(reports.dataset(), "dear_items") == [1, 3]
    assert ids(reports.dataset(), "all_items") == [1, 2, 3]
    assert ids(reports.dataset(), "both") == [1, 2, 3, 30]
    column: Any = reports.dataset().schema.tables["dear_items"]["columns"]["id"]
    assert (column["x-annotation-pii"], column["data_type"]) == (True, "bigint")
    assert [page.num_rows for page in both(shop)] == [4]


def test_a_text_is_read_from_the_dataset_that_has_its_tables(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    staff = make_pipeline("staff", database="people")
    staff.run([{"id": 7}], table_name="people")
    staff.run([{"id": 8}], table_name="items")

    @transformation
    def found(shop: dlt.Dataset, staff: dlt.Dataset, table: str) -> Any:
        return f"SELECT id FROM {table}"

    reports = make_pipeline("reports")
    reports.run(found(shop, staff.dataset(), "people"))

    assert ids(reports.dataset(), "found") == [7]
    with pytest.raises(
        ResourceExtractionError, match=r"several of its datasets: `orders`, `staff`"
    ):
        list(found(shop, staff.dataset(), "items"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("items", "is no query"),
        ("All items are dear.", "is no query"),
        ("", "is no query"),
        ("DELETE FROM items", "is no query"),
        ("SELECT id FROM items; SELECT id FROM items", "is no query"),
        ("SELECT id FROM item", "reads `item`, .*Did you mean `items`"),
        ("SELECT id FROM items WHERE id IN (SELECT id FROM item)", "reads `item`"),
        ("SELECT prize FROM items", "prize"),
        (["SELECT id FROM items", "more"], "'more'.* is no query"),
    ],
)
def test_error_when_a_text_is_no_query_over_the_dataset(
    shop: dlt.Dataset, text: Any, reason: str
) -> None:
    @transformation
    def dear_items(data: dlt.Dataset) -> Any:
        return text

    with pytest.raises(ResourceExtractionError, match=f"(?s)`dear_items` .*{reason}"):
        list(dear_items(shop))


def test_an_ibis_expression_stays_a_query_with_the_hints_of_its_columns(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    import ibis

    @transformation
    def few(data: dlt.Dataset) -> Iterator[Any]:
        items = data.table("items").to_ibis()
        yield items.filter(items.price > 10).select("id", "price").limit(1)
        dear = data.table("items").where("price", "gt", 20).to_ibis()
        yield dear.select("id", dear.price.cast("int64").name("price"))

    @transformation
    def counted(data: dlt.Dataset) -> Any:
        items = data.ibis().table("items")
        return items.group_by("shop").agg(n=ibis._.count(), mean=ibis._.price.mean())

    @transformation(name="top")
    def column(data: dlt.Dataset) -> Any:
        return data.table("items").to_ibis().price.max().name("price")

    reports = make_pipeline("reports")
    reports.run([few(shop), counted(shop), column(shop)])
    loaded = reports.dataset()

    assert formats_of(reports) == {"model"}
    assert ids(loaded, "few") == [2, 3]
    rows = loaded.table("counted").select("shop", "n", "mean").fetchall()
    assert sorted(rows) == [("a", 2, 15.0), ("b", 1, 30.0)]
    assert loaded.table("top").select("price").fetchall() == [(30,)]
    column_: Any = loaded.schema.tables["few"]["columns"]["id"]
    assert column_["x-annotation-pii"] is True
    types = {n: c["data_type"] for n, c in loaded.schema.tables["counted"]["columns"].items()}
    assert types == {"shop": "text", "n": "bigint", "mean": "double", "_dlt_load_id": "text"}


def test_an_ibis_expression_of_another_database_is_read_as_arrow(
    make_pipeline: MakePipeline, shop: dlt.Dataset
) -> None:
    @transformation
    def few(data: dlt.Dataset, other: dlt.Dataset, native: bool) -> Any:
        table = data.ibis().table("items") if native else data.table("items").to_ibis()
        return table.select("id", "price").order_by("id").limit(2)

    staff = make_pipeline("staff", database="people")
    staff.run([{"id": 8}], table_name="people")
    reports = make_pipeline("reports", database="other")
    for native in (True, False):
        reports.run(few(shop, staff.dataset(), native))

    assert formats_of(reports) == {"parquet"}
    assert ids(reports.dataset(), "few") == [1, 1, 2, 2]


# a value of each type
TYPES: dict[str, Any] = {
    "bigint": 1,
    "text": "a",
    "double": 1.5,
    "bool": True,
    "timestamp": "2024-05-01T10:00:00Z",
    "date": "2024-05-01",
    "time": "10:00:00",
    "decimal": "1.25",
    "wei": 5,
    "json": {"a": 1},
    "binary": b"a",
}


@pytest.mark.parametrize("place", ["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_copy_of_a_table_may_be_appended_to_whatever_its_types(
    tmp_path: Path, request: pytest.FixtureRequest, place: str
) -> None:
    destination: Any = dlt.destinations.duckdb(str(tmp_path / "types.duckdb"))
    if place == "postgres":
        destination = dlt.destinations.postgres(request.getfixturevalue("postgres_url"))
    name = f"t{abs(hash(tmp_path))}"
    loading = dlt.pipeline(
        "orders", str(tmp_path), destination=destination, dataset_name=f"{name}_orders"
    )
    reports = dlt.pipeline(
        "reports", str(tmp_path), destination=destination, dataset_name=f"{name}_reports"
    )
    columns: Any = {kind: {"data_type": kind} for kind in TYPES}

    @transformation
    def copied(data: dlt.Dataset) -> Any:
        return data.table("items")

    try:
        loading.run([{**TYPES, "id": 1}], table_name="items", columns=columns)
        for _ in range(2):
            reports.run(copied(loading.dataset()))
        assert ids(reports.dataset(), "copied") == [1, 1]
    finally:
        for pipeline in (loading, reports):
            with pipeline.destination_client() as client:
                client.drop_storage()


LOSSES = {
    "SELECT CAST(id AS DOUBLE) + 0.7 AS id FROM items": ("id", "double", "bigint"),
    "SELECT shop AS id FROM items": ("id", "text", "bigint"),
    "SELECT id, CAST('2024-05-01 10:00:00+00' AS TIMESTAMPTZ) AS day FROM items": (
        "day",
        "timestamp",
        "date",
    ),
    "SELECT id, now() AS day FROM items": ("day", "timestamp", "date"),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("database", ["shop", "other"])
def test_error_when_a_table_would_round_or_cut_values_of_a_query(
    make_pipeline: MakePipeline, shop: dlt.Dataset, database: str
) -> None:
    @transformation
    def kept_days(data: dlt.Dataset, query: str) -> Any:
        return query

    @transformation(columns={"price": {"data_type": "bigint"}})
    def declared(data: dlt.Dataset) -> Any:
        return "SELECT price / 4 AS price FROM items"

    first = "SELECT id, CAST('2024-05-01' AS DATE) AS day FROM items WHERE id = 1"
    make_pipeline("reports", database).run(kept_days(shop, first))
    # the second one has not made the table, and does not know its columns
    for name in ("reports", "other_reports"):
        pipeline = make_pipeline(name, database, dataset_name="reports")
        for query, (column, source, there) in LOSSES.items():
            with pytest.raises(PipelineStepFailed) as caught:
                pipeline.run(kept_days(shop, query))
            said = str(caught.value)
            assert f"`{column}` of table `kept_days` is {there}" in said, query
            assert source in said
            assert not pipeline.has_pending_data
        with pytest.raises(PipelineStepFailed, match="`price` of table `declared` is bigint"):
            pipeline.run(declared(shop))

    pipeline.run(kept_days(shop, "SELECT id, NULL AS day FROM items WHERE id = 3"))
    assert ids(pipeline.dataset(), "kept_days") == [1, 3]
    pipeline.run(kept_days(shop, next(iter(LOSSES))), refresh="drop_sources")
    assert sorted(pipeline.dataset().table("kept_days").select("id").fetchall()) == [
        (1.7,),
        (2.7,),
        (3.7,),
    ]
