"""What `dlt_internals/data_events.py` relies on in dlt."""

# without postponed annotations: dlt finds no incremental in them
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import dlt
import pytest
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals import data_events, relations


@dlt.source
def shop() -> Any:
    @dlt.resource(primary_key="id", write_disposition="merge")
    def orders(at: Any = dlt.sources.incremental("id")) -> Any:
        yield [{"id": 1, "tags": [{"tag": "hot"}]}]

    @dlt.resource(schema_contract={"columns": "freeze"})
    def prices() -> Any:
        yield from ()

    return orders, prices


@pytest.fixture
def pipeline(tmp_path: Path) -> dlt.Pipeline:
    return dlt.pipeline(
        "etl",
        destination=dlt.destinations.duckdb(str(tmp_path / "etl.duckdb")),
        dataset_name="data",
        pipelines_dir=str(tmp_path),
    )


@pytest.mark.leans_on(
    "dlt:Pipeline._extract_source",
    "dlt.extract.extract:Extract._step_info_metrics",
    "dlt.extract.reference:SourceReference.register",
)
def test_each_source_is_extracted_by_itself_and_rows_are_counted_by_resource(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = data_events.EXTRACT_SOURCE
    original, seen = getattr(owner, name), {}

    @functools.wraps(original)
    def extract_source(self: Any, extract: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
        load_id = original(self, extract, source, *args, **kwargs)
        refresh = data_events.refresh_of(args, kwargs)
        # the state of the pipeline comes last
        seen.setdefault(source.name, (data_events.items_of(extract, load_id), refresh))
        return load_id

    monkeypatch.setattr(owner, name, extract_source)
    pipeline.extract(shop(), refresh="drop_data")

    assert seen["shop"] == ({"orders": 1}, "drop_data")
    assert data_events.registered_sources()[__name__.rpartition(".")[2], "shop"] == __name__


@pytest.mark.leans_on("dlt.extract.reference:SourceFactory", "dlt.extract:DltResource")
def test_what_a_module_has_made_by_a_call_is_not_registered() -> None:
    def made() -> Any:
        @dlt.source(section="shops")
        def second_shop() -> Any:
            return dlt.resource([{"id": 1}], name="orders")

        return second_shop

    module = ModuleType("own")
    first, loose = shop(), dlt.resource([{"id": 1}], name="loose")
    details = dlt.transformer(lambda item: item, data_from=loose, name="details")
    module.__dict__.update(first=first, made=made(), loose=loose, details=details, source=shop)
    module.__dict__["of_source"] = first.orders

    assert data_events.held_sources(module) == {
        (__name__.rpartition(".")[2], "shop"): "own",
        ("shops", "second_shop"): __name__,
        ("None", "loose"): "own",
    }
    assert ("shops", "second_shop") not in data_events.registered_sources()


@pytest.mark.leans_on("dlt.extract:DltResource", "dlt.extract.incremental:Incremental")
def test_a_resource_tells_its_cursor_its_contract_and_its_parents() -> None:
    source = shop()
    details = dlt.transformer(lambda item: item, data_from=source.orders, name="details")

    assert data_events.cursor_of(source.orders) == "id"
    assert data_events.cursor_of(source.prices) is None
    assert data_events.contract_of(source.prices) == {"columns": "freeze"}
    assert data_events.contract_of(source) == {}
    assert [one.name for one in data_events.parents_of(details)] == ["orders"]
    assert not data_events.is_given(source.orders)


@pytest.mark.leans_on("dlt:Relation._cursor", "dlt:Relation.iter_arrow")
def test_all_rows_of_a_relation_are_fetched_within_its_cursor(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run([{"id": 1}], table_name="orders")
    owner, name = data_events.CURSOR_OF_RELATION
    original, seen = getattr(owner, name), []

    @functools.wraps(original)
    @contextmanager
    def cursor(relation: Any) -> Iterator[Any]:
        with original(relation) as entered:
            seen.append(relations.dataset_of(relation).dataset_name)
            yield entered

    monkeypatch.setattr(owner, name, cursor)
    relation = pipeline.dataset().table("orders")
    for read in ("fetchall", "fetchone", "df", "arrow"):
        getattr(relation, read)()
    [*relation.iter_fetch(1)], [*relation.iter_df(1)], [*relation.iter_arrow(1)]

    assert seen == ["data"] * 7


@pytest.mark.leans_on("dlt:Schema.apply_schema_contract", "dlt:Schema.data_tables")
def test_a_breach_is_in_the_error_of_a_run_and_tables_have_their_keys(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run(shop())
    found = {name: rest for name, *rest in data_events.tables_of(pipeline.schemas["shop"])}
    resource, root, columns = found["orders__tags"]
    assert (resource, root["name"], columns) == ("orders", "orders", ["tag"])
    assert data_events.merge_strategy(root) == "merge"
    assert data_events.key_of(root["columns"]) == ["id"]

    owner, name = data_events.APPLY_CONTRACT
    original, asked = getattr(owner, name), []

    @functools.wraps(original)
    def apply(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(data_events.name_of_table(args, kwargs))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, apply)
    with pytest.raises(PipelineStepFailed) as failed:
        pipeline.run([{"id": "x"}], table_name="orders", schema_contract="freeze")

    assert asked[-1] == "orders"
    breach = data_events.breach_in(failed.value)
    assert (breach.table_name, breach.schema_entity) == ("orders", "data_type")
    assert data_events.breach_in(ValueError()) is None


@pytest.mark.leans_on("dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient.native_connection")
def test_a_connection_that_code_takes_is_told_and_none_that_dlt_takes(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import duckdb

    # they are put back afterwards
    for name in ("connect", "execute", "executemany", "query", "sql"):
        monkeypatch.setattr(duckdb, name, getattr(duckdb, name))
        if name != "connect":
            connection = duckdb.DuckDBPyConnection
            monkeypatch.setattr(connection, name, getattr(connection, name))
    # as `from duckdb import connect` at the head of a module
    monkeypatch.setitem(globals(), "connect", duckdb.connect)
    native = vars(DuckDbSqlClient)["native_connection"]
    monkeypatch.setattr(DuckDbSqlClient, "native_connection", native)
    told: list[Any] = []
    data_events.tell_of_connections(lambda *place: told.append(place))
    pipeline.run([{"id": 1}], table_name="orders")
    pipeline.dataset().table("orders").fetchall()
    assert told == []

    with pipeline.sql_client() as client:
        client.native_connection.execute("select 1")
        client.execute("select 1")
    duckdb.connect(str(tmp_path / "other.duckdb")).close()

    assert [*dict.fromkeys(told)] == [("data", ""), (None, str(tmp_path / "other.duckdb"))]

    told.clear()
    globals()["connect"](str(tmp_path / "held.duckdb")).close()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{tmp_path}/other.duckdb' AS other (READ_ONLY)")
        connection.sql("select 1")
    duckdb.sql(f"attach if not exists '{tmp_path}/held.duckdb' as held")
    duckdb.execute("detach held")

    places = [place.rpartition("/")[2] for _, place in told]
    assert places == ["held.duckdb", "", "other.duckdb", "held.duckdb"]
