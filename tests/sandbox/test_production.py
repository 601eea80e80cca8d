"""What the destination of production cannot take is an error, and names are those of production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlt
import pyarrow as pa
import pytest
from dlt.common.exceptions import DltException
from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import MergeStrategyNotSupported, NotSupportedInProduction
from dlthub_project.sandbox import changed_destinations, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox

TYPES = (
    "athena",
    "bigquery",
    "clickhouse",
    "databricks",
    "dremio",
    "mssql",
    "postgres",
    "redshift",
    "snowflake",
    "synapse",
)
LONG = "column_that_is_longer_than_most_people_would_believe_" * 4


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Have what is made outside of sandboxes below the test's own folder."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "outside"))


def made(kind: str) -> Any:
    return getattr(dlt.destinations, kind)()


def rows_of_all_kinds() -> Any:
    # the files of a load have these names: the file system takes no more
    table = "table_with_a_name_of_many_words_" * 5
    return dlt.resource([{LONG: 1, "Camel": {"Deep": [{LONG: 2}]}, "id": 1}], name=table)


def names_of(schema: Schema) -> dict[str, list[str]]:
    return {table["name"]: sorted(table["columns"]) for table in schema.data_tables()}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", TYPES)
def test_names_are_those_of_production(make_sandbox: MakeSandbox, kind: str) -> None:
    # without a sandbox, and without a connection: as far as plain dlt gets
    plain = dlt.pipeline("names", destination=made(kind), dataset_name="data")
    plain.extract(rows_of_all_kinds())
    if needs_staging := made(kind)._raw_capabilities().preferred_loader_file_format is None:
        in_production = names_of(plain.default_schema)
    else:
        plain.normalize()
        in_production = names_of(plain.default_schema)

    for how in ("object", "name"):
        with isolated(make_sandbox(how)):
            destination = made(kind) if how == "object" else kind
            pipeline = dlt.pipeline("names", destination=destination, dataset_name="data")
            pipeline.run(rows_of_all_kinds())
            here = names_of(pipeline.default_schema)
            tables = pipeline.dataset().schema.data_table_names()
        assert {*here} == {*tables}
        if needs_staging:
            assert {*in_production} <= {*here}
        else:
            assert here == in_production


def strategies_of(destination: Any) -> list[str]:
    capabilities = destination._raw_capabilities()
    supported = capabilities.supported_merge_strategies or []
    if selector := capabilities.merge_strategies_selector:
        supported = selector(supported, table_schema={"name": "rows"})
    return list(supported)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("strategy", ["delete-insert", "scd2", "upsert", "insert-only"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_merge_strategy_that_production_lacks_is_an_error(
    make_sandbox: MakeSandbox, kind: str, strategy: Any
) -> None:
    supported = strategies_of(made(kind))
    rows = dlt.resource(
        [{"id": 1}],
        name="rows",
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": strategy},
    )
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination=kind, dataset_name="data")
        # the DuckDB of old versions lacks some
        if strategy in supported and strategy in strategies_of(made("duckdb")):
            pipeline.extract(rows)
            return
        told = "here DuckDB is in its place" if strategy in supported else f"`{kind}` has "
        with pytest.raises(MergeStrategyNotSupported, match=told):
            pipeline.extract(rows)


def by_nested_hints(pipeline: dlt.Pipeline) -> None:
    hints = dlt.mark.make_nested_hints(
        primary_key="n", write_disposition={"disposition": "merge", "strategy": "upsert"}
    )
    rows = [{"id": 1, "lines": [{"n": 1}]}]
    pipeline.run(dlt.resource(rows, name="rows", nested_hints={"lines": hints}))


def by_schema(pipeline: dlt.Pipeline) -> None:
    column: Any = {"id": {"name": "id", "data_type": "bigint", "primary_key": True}}
    table: Any = {"name": "rows", "columns": column, "x-merge-strategy": "upsert"}
    schema = Schema("shop")
    schema.update_table({**table, "write_disposition": "merge"})
    pipeline.run(dlt.resource([{"id": 1}], name="rows", write_disposition="merge"), schema=schema)


def before_its_destination(pipeline: dlt.Pipeline) -> None:
    upsert: Any = {"disposition": "merge", "strategy": "upsert"}
    rows = dlt.resource([{"id": 1}], name="rows", primary_key="id", write_disposition=upsert)
    dlt.pipeline("late", dataset_name="data").extract(rows)
    late = dlt.pipeline("late", destination="redshift", dataset_name="data")
    late.normalize()


@pytest.mark.parametrize("run", [by_nested_hints, by_schema, before_its_destination])
def test_a_merge_strategy_that_no_resource_has_is_an_error_too(
    make_sandbox: MakeSandbox, run: Any
) -> None:
    refused: type[Exception] = MergeStrategyNotSupported
    told = "`redshift` has delete-insert, scd2"
    if run is not before_its_destination and "upsert" not in strategies_of(made("duckdb")):
        # with DuckDB before 1.4, dlt itself says so before, while it makes the table
        refused, told = DltException, "`upsert` merge strategy not supported"
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination="redshift", dataset_name="data")
        with pytest.raises(refused, match=told):
            run(pipeline)


def test_a_table_format_that_is_dropped_here_still_merges(make_sandbox: MakeSandbox) -> None:
    """Athena merges Iceberg's tables alone."""
    rows = dlt.resource(
        [{"id": 1}],
        name="rows",
        primary_key="id",
        write_disposition="merge",
        table_format="iceberg",
    )
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination="athena", dataset_name="data")
        pipeline.run(rows)
        dlt.attach("p").run([{"id": 2}], table_name="others")
        pipeline.run(rows)
        assert pipeline.dataset()["rows"]["id"].fetchall() == [(1,)]


CANNOT: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "precision of a timestamp": (
        "redshift",
        {"at": "2026-01-01T00:00:00.123456789Z"},
        {"columns": {"at": {"data_type": "timestamp", "precision": 9, "timezone": False}}},
        "column `rows.at` (timestamp)",
    ),
    "time": (
        "redshift",
        {"at": "10:00:00"},
        {"columns": {"at": {"data_type": "time"}}, "file_format": "parquet"},
        "column `rows.at` (time)",
    ),
    "time in the format that it prefers": (
        "databricks",
        {"at": "10:00:00"},
        {"columns": {"at": {"data_type": "time"}}},
        "column `rows.at` (time)",
    ),
    "text": (
        "redshift",
        {"note": "ä" * 40_000},
        {},
        "column `rows.note` (text): a value has 80000 bytes, and there is room for 65535",
    ),
    "text of a column": (
        "postgres",
        {"note": "abcdef"},
        {"columns": {"note": {"data_type": "text", "precision": 5}}},
        "column `rows.note` (text): a value has 6 characters, and there is room for 5",
    ),
    "precision of an integer": (
        "postgres",
        {"n": 1},
        {"columns": {"n": {"data_type": "bigint", "precision": 128}}},
        "column `rows.n` (bigint)",
    ),
}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("case", CANNOT)
@pytest.mark.parametrize("how", ["name", "object", "named"])
def test_what_production_cannot_take_is_an_error(
    make_sandbox: MakeSandbox, how: str, case: str
) -> None:
    kind, row, hints, said = CANNOT[case]
    with isolated(make_sandbox()):
        destination: Any = kind
        if how == "object":
            destination = made(kind)
        elif how == "named":
            destination = dlt.destination("warehouse", destination_type=kind)
        pipeline = dlt.pipeline("p", destination=destination, dataset_name="data")
        with pytest.raises(NotSupportedInProduction) as error:
            pipeline.run(dlt.resource([row], name="rows", **hints))
    name = f"`warehouse` ({kind})" if how == "named" else f"`{kind}`"
    assert f"Destination {name} cannot take this in production" in str(error.value)
    assert said in str(error.value)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", CANNOT)
def test_what_duckdb_itself_is_given_is_not_checked(make_sandbox: MakeSandbox, case: str) -> None:
    _, row, hints, _ = CANNOT[case]
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination="duckdb", dataset_name="data")
        pipeline.run(dlt.resource([row], name="rows", **hints))
        assert len(pipeline.dataset()["rows"].fetchall()) == 1


def test_a_text_that_production_has_room_for_is_loaded(make_sandbox: MakeSandbox) -> None:
    columns: Any = {"short": {"data_type": "text", "precision": 5}}
    rows = [{"note": "x" * 65_535, "short": "äöüßé"}]
    with isolated(make_sandbox()):
        for kind in ("redshift", "postgres"):
            pipeline = dlt.pipeline(kind, destination=kind, dataset_name="data")
            pipeline.run(dlt.resource(rows, name="rows", columns=columns))
            assert len(pipeline.dataset()["rows"].fetchall()) == 1


@pytest.mark.parametrize(
    "variable",
    ["DESTINATION__REPLACE_STRATEGY", "REPLACE_STRATEGY", "P__DESTINATION__REPLACE_STRATEGY"],
)
def test_a_way_to_replace_that_production_lacks_is_an_error(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "insert-from-staging")
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination="weaviate", dataset_name="data")
        with pytest.raises(NotSupportedInProduction, match="insert-from-staging"):
            pipeline.run([{"id": 1}], table_name="rows", write_disposition="replace")


def test_a_faster_way_to_replace_that_production_has_replaces_here_too(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__REPLACE_STRATEGY", "staging-optimized")
    sandbox = make_sandbox()
    with isolated(sandbox):
        pipeline = dlt.pipeline("p", destination="snowflake", dataset_name="data")
        for number in (1, 2):
            pipeline.run([{"id": number}], table_name="rows", write_disposition="replace")
        assert pipeline.dataset()["rows"]["id"].fetchall() == [(2,)]
        changes = changed_destinations(sandbox.folder)
        # dlt's own DuckDB does not have it, in production either
        with pytest.raises(PipelineStepFailed):
            dlt.pipeline("own", destination="duckdb").run(
                [{"id": 1}], table_name="rows", write_disposition="replace"
            )
    assert "replace_strategy staging-optimized of snowflake -> insert-from-staging" in changes


def test_two_names_that_production_takes_for_one_are_an_error(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMA__NAMING", "direct")
    with isolated(make_sandbox(every_type="filesystem")):
        pipeline = dlt.pipeline("p", destination="redshift", dataset_name="data")
        with pytest.raises(NotSupportedInProduction, match="Rows"):
            pipeline.run([{"Id": 1, "id": 2}], table_name="Rows")


def test_the_report_says_of_which_destination_nobody_knows_what_it_can_do(
    make_sandbox: MakeSandbox,
) -> None:
    @dlt.destination
    def hook(items: Any, table: Any) -> None:
        """Take all."""

    with isolated(make_sandbox()) as sandbox:
        dlt.pipeline("p", destination=hook, dataset_name="data").run([{"id": 1}], table_name="rows")
        said = [line for line in changed_destinations(sandbox.folder) if "not checked" in line]
    assert said == ["what hook can do is not checked: it is a function"]


def test_error_when_postgres_would_change_what_dlt_loads_as_csv(make_sandbox: MakeSandbox) -> None:
    table = pa.table(
        {"Note": ["", "x"], "photo": [b"a\\b", b""], "tags": [["a"], []], "id": [1, 2]}
    )
    rows = [{"id": 1, "note": "", "lines": [{"note": ""}]}]
    with isolated(make_sandbox()):
        arrow, csv = (
            dlt.pipeline(name, destination="postgres", dataset_name="data") for name in "ab"
        )
        with pytest.raises(NotSupportedInProduction) as of_arrow:
            arrow.run(table, table_name="rows")
        with pytest.raises(NotSupportedInProduction) as of_csv:
            csv.run(dlt.resource(rows, name="rows", file_format="csv"))
    for said in (
        "column `rows.note`: an empty text becomes NULL",
        "column `rows.photo`: an empty value becomes NULL",
        "column `rows.tags`: nested values cannot be written",
        'Name another format: `loader_file_format="insert_values"` of the run',
    ):
        assert said in str(of_arrow.value)
    assert "`rows.id`" not in str(of_arrow.value)
    assert "column `rows.note`: an empty text becomes NULL" in str(of_csv.value)
    assert "column `rows__lines.note`: an empty text becomes NULL" in str(of_csv.value)


def test_what_postgres_gets_as_it_is_may_be_empty(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination="postgres", dataset_name="data")
        empty = pa.table({"note": [""], "tags": [[""]]})
        pipeline.run(
            [
                dlt.resource(empty, name="inserted", file_format="insert_values"),
                # dlt forces NULL on columns that may be null alone
                dlt.resource(pa.table({"note": [""]}), name="keyed", primary_key="note"),
                dlt.resource(pa.table({"note": [None, "x"], "photo": [b"x", None]}), name="plain"),
                dlt.resource([{"note": "", "tags": [""]}], name="rows"),
            ]
        )
        assert pipeline.dataset().table("inserted").select("note").fetchall() == [("",)]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("mssql", {"loader_file_format": "jsonl"}, "jsonl: it loads insert_values"),
        ("bigquery", {"loader_file_format": "insert_values"}, "insert_values: it loads"),
        ("redshift", {"loader_file_format": "parquet"}, "parquet: it loads insert_values"),
        (
            "redshift",
            {"loader_file_format": "csv", "staging": "filesystem"},
            "staging `filesystem`",
        ),
        ("mssql", {"staging": "filesystem"}, "staging"),
        ("redshift", {"loader_file_format": "parquet", "staging": "filesystem"}, None),
        ("bigquery", {"loader_file_format": "parquet"}, None),
        ("duckdb", {"loader_file_format": "parquet"}, None),
    ],
)
def test_error_when_production_does_not_load_files_of_a_format(
    make_sandbox: MakeSandbox, kind: str, arguments: dict[str, Any], message: str | None
) -> None:
    """dlt itself refuses these before it connects anywhere."""
    staging = arguments.pop("staging", None)
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("p", destination=kind, staging=staging, dataset_name="data")
        if message is None:
            pipeline.run([{"id": 1}], table_name="rows", **arguments)
            return
        with pytest.raises(NotSupportedInProduction, match=message):
            pipeline.run([{"id": 1}], table_name="rows", **arguments)
