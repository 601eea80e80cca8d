"""The inputs of a cache: attached, viewed or copied, and what is said where they cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from processes import python

from dlthub_project import current
from dlthub_project.errors import DatasetNotLoaded, ManifestError, ProjectError

WriteShop = Callable[..., Any]

KINDS = {
    "duckdb": ("{type: duckdb}", "VIEW"),
    "filesystem": ("{type: filesystem, bucket_url: lake}", "VIEW"),
    "sqlite": ('{type: sqlalchemy, credentials: "sqlite:///shop.sqlite"}', "BASE TABLE"),
}
NESTED = """
    SELECT o.id, l.sku, p.part FROM orders o
    JOIN orders__lines l ON l._dlt_parent_id = o._dlt_id
    JOIN orders__lines__parts p ON p._dlt_parent_id = l._dlt_id
"""


def kinds_of(path: Path) -> dict[str, str]:
    """Return whether each table of a cache is a view or a table."""
    query = "SELECT table_name, table_type FROM information_schema.tables"
    with duckdb.connect(str(path), read_only=True) as connection:
        return dict(connection.execute(f"{query} WHERE table_schema = 'cache'").fetchall())


def assert_all_is_read(shop: Any, kind: str) -> None:
    """Run the transformation for two loads, and assert what comes of them."""
    for ids in ((1,), (2, 3)):
        shop.load(*ids)
        shop.report.run()

    expected = [(i, f"{i}/{n}", n) for i in (1, 2, 3) for n in (1, 2)]
    assert shop.rows("parts", "id", "sku", "part") == expected
    found = kinds_of(shop.report.cache.path)
    assert {found.pop("parts"), found.pop("totals", "BASE TABLE")} == {"BASE TABLE"}
    assert found == dict.fromkeys(("orders", "orders__lines", "orders__lines__parts"), kind)


def write(write_shop: WriteShop, warehouse: str) -> Any:
    return write_shop(
        {"transformations/report/parts.sql": NESTED},
        outputs="[{dataset: reports, tables: {parts: parts}}]",
        warehouse=warehouse,
    )


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_attached_viewed_or_copied_with_nested_ones(
    write_shop: WriteShop, kind: str
) -> None:
    warehouse, table_type = KINDS[kind]

    assert_all_is_read(write(write_shop, warehouse), table_type)


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
@pytest.mark.slow
def test_files_of_other_formats_are_viewed(
    write_shop: WriteShop, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMALIZE__LOADER_FILE_FORMAT", file_format)

    assert_all_is_read(write(write_shop, KINDS["filesystem"][0]), "VIEW")


@pytest.fixture
def postgres_dataset(postgres_url: str) -> Iterator[str]:
    """The name of a dataset of its own, which goes with the test."""
    import psycopg2

    name = f"shop_data_{uuid.uuid4().hex[:8]}"
    yield name
    connection = psycopg2.connect(postgres_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
    connection.close()


@pytest.mark.slow
@pytest.mark.postgres
def test_tables_of_postgres_are_copied(
    write_shop: WriteShop, postgres_url: str, postgres_dataset: str
) -> None:
    shop = write(write_shop, f"{{type: postgres, credentials: '{postgres_url}'}}")
    manifest = shop.folder / "dlt.yml"
    text = manifest.read_text().replace("shop_data", postgres_dataset)
    # written to this server, too, where dlt alone makes NULL of the empty texts of a relation
    outputs = f", {{dataset: {postgres_dataset}, tables: {{totals: totals}}}}]"
    manifest.write_text(text.replace("parts: parts}}]", f"parts: parts}}}}{outputs}"))
    (shop.folder / "transformations" / "report" / "totals.sql").write_text(
        "SELECT id, '' AS note, 'inf'::DOUBLE AS share, ['', 'x'] AS tags FROM orders"
    )

    assert_all_is_read(shop, "BASE TABLE")
    rows = shop.rows("totals", "id", "note", "share", "tags", dataset=postgres_dataset)
    assert rows == [(i, "", float("inf"), ["", "x"]) for i in (1, 2, 3)]


def test_tables_have_the_names_that_the_cache_gives_them(write_shop: WriteShop) -> None:
    shop = write_shop(
        {"transformations/report/totals.sql": 'SELECT count(*) AS n FROM "Bought"'},
        inputs="[{dataset: shop_data, tables: {orders: Bought, orders__lines: lines}}]",
    )
    shop.load(1, 2)
    shop.report.run()

    assert set(kinds_of(shop.report.cache.path)) == {"Bought", "lines", "totals"}
    assert shop.rows("totals", "n") == [(2,)]


def test_a_database_that_this_process_has_open_is_copied(write_shop: WriteShop) -> None:
    shop = write(write_shop, "{type: duckdb}")
    file = Path(current.config().local_dir, "warehouse.duckdb")
    shop.load(7)

    with duckdb.connect(str(file)):
        shop.report.run()

    assert kinds_of(shop.report.cache.path)["orders"] == "BASE TABLE"
    assert shop.rows("parts", "id", "sku") == [(7, "7/1"), (7, "7/2")]


@pytest.mark.slow
def test_a_copied_table_without_new_rows_has_its_columns(write_shop: WriteShop) -> None:
    shop = write_shop(
        {"transformations/report/totals.sql": "SELECT count(sku) AS n FROM orders__lines"},
        warehouse=KINDS["sqlite"][0],
    )
    shop.load(1)
    shop.report.run()
    current.runner().run_pipeline("load_orders", data=dlt.resource([{"id": 2}], name="orders"))
    shop.report.run()

    assert shop.rows("totals", "n") == [(0,), (2,)]


def test_a_load_that_is_not_complete_is_not_offered(write_shop: WriteShop) -> None:
    shop = write_shop({"transformations/report/totals.sql": "SELECT count(*) AS n FROM orders"})
    shop.load(1)
    shop.load(2)
    with duckdb.connect(str(Path(current.config().local_dir, "warehouse.duckdb"))) as connection:
        query = "FROM shop_data._dlt_loads WHERE load_id = (SELECT max(load_id) FROM _dlt_loads)"
        connection.execute("USE shop_data")
        kept = connection.execute(f"SELECT * {query}").fetchone()
        connection.execute(f"DELETE {query}")
    shop.report.run()
    with duckdb.connect(str(Path(current.config().local_dir, "warehouse.duckdb"))) as connection:
        connection.execute("INSERT INTO shop_data._dlt_loads VALUES (?, ?, ?, ?, ?)", kept)
    shop.report.run()

    assert shop.rows("totals", "n") == [(1,), (1,)]


def test_a_dataset_that_is_not_loaded_names_the_pipeline_that_would(write_shop: WriteShop) -> None:
    shop = write_shop(inputs="[{dataset: shop_data}, {dataset: other_reports}]")

    for step in (shop.report.verify_inputs, shop.report.run):
        with pytest.raises(DatasetNotLoaded) as caught:
            step()
        message = str(caught.value)
        assert "caches.orders_cache: Dataset `shop_data` does not exist" in message
        assert "Dataset `other_reports` does not exist" in message
        assert "dlt pipeline load_orders run --profile dev" in message


def test_a_table_that_is_missing_is_named_with_those_that_there_are(write_shop: WriteShop) -> None:
    shop = write_shop(inputs="[{dataset: shop_data, tables: {order: order, items: items}}]")
    shop.load(1)

    with pytest.raises(DatasetNotLoaded) as caught:
        shop.report.verify_inputs()
    assert "`shop_data` has no table `order`, `items` with data" in str(caught.value)
    assert "Did you mean `orders`?" in str(caught.value)


def test_two_inputs_with_one_table_are_an_error_with_the_remedy(write_shop: WriteShop) -> None:
    shop = write_shop(
        inputs="[{dataset: shop_data}, {dataset: copies}]",
        pipelines="copy: {destination: store, dataset_name: copies}",
    )
    shop.load(1)
    shop.load(1, pipeline="copy")

    with pytest.raises(ProjectError) as caught:
        shop.report.verify_inputs()
    assert "shop_data.orders and copies.orders are both to be table `orders`" in str(caught.value)
    assert "`tables: {orders: copies_orders}`" in caught.value.instruction


def test_two_inputs_that_the_manifest_gives_one_name_are_told_with_their_place(
    write_shop: WriteShop,
) -> None:
    write_shop(
        inputs="[{dataset: shop_data, tables: {orders: bought}},"
        "{dataset: reports, tables: {totals: Bought}}]"
    )

    with pytest.raises(ManifestError, match=r"dlt.yml:\d+:\d+: caches.orders_cache.inputs.1"):
        current.config()


@pytest.mark.slow
def test_in_the_sandbox_all_is_temporary(
    write_shop: WriteShop,
) -> None:
    shop = write(write_shop, "{type: postgres, credentials: 'postgres://ada@db.invalid/shop'}")
    tests = shop.folder / "tests"
    tests.mkdir()
    tests.joinpath("test_report.py").write_text(
        textwrap.dedent(
            """
            import dlt

            def test_report(dlt_project):
                rows = [{"id": 1, "lines": [{"sku": "1/1", "parts": [{"part": 1}]}]}]
                dlt_project.run("load_orders", data=dlt.resource(rows, name="orders"))
                report = dlt_project.entities.get_transformation("report")
                assert report.run().rows == {"reports": {"parts": 1}}
                assert report.run().is_empty
                dataset = dlt_project.dataset("reports")
                assert dataset["parts"].select("sku").fetchall() == [("1/1",)]
            """
        )
    )
    done = subprocess.run(
        [*python(), "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=shop.folder,
        env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    left = {path.name for path in shop.folder.rglob("*")} - {"__pycache__"}
    assert left == {"dlt.yml", "tests", "test_report.py", "transformations", "report", "parts.sql"}


COPY = """
    import resource
    import sqlite3

    import dlt

    from dlthub_project import current

    run = current.runner().run_pipeline
    run("load_orders", data=dlt.resource([{"id": 0, "text": "x"}], name="orders"))
    report = current.entities().get_transformation("report")
    # whatever is made once
    report.run()

    with sqlite3.connect("_data/dev/local/shop__shop_data.sqlite") as warehouse:
        warehouse.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
            "INSERT INTO orders (id, text, _dlt_load_id, _dlt_id) "
            "SELECT i, hex(zeroblob(1000)), '2', i FROM n"
        )
        warehouse.execute("INSERT INTO _dlt_loads SELECT '2', schema_name, 0, inserted_at, "
            "schema_version_hash FROM _dlt_loads LIMIT 1")
    warehouse.close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report.populate()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    report.transform()
    report.flush()
    print(current.catalog().reports["totals"].select("n", "size").fetchall()[-1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of memory is another one")
def test_a_table_is_copied_in_less_memory_than_it_takes(
    write_shop: WriteShop, run_python: Callable[..., str]
) -> None:
    shop = write_shop(
        {
            "transformations/report/totals.sql": "SELECT count(*) AS n, "
            "sum(strlen(text)) // 1000000 AS size FROM orders"
        },
        warehouse=KINDS["sqlite"][0],
    )

    kilobytes, rows = run_python(COPY, shop.folder).splitlines()

    assert rows == "(300000, Decimal('600'))"
    # all rows at once, and once more as Arrow, would be 1,200 MB
    assert int(kilobytes) < 500_000
