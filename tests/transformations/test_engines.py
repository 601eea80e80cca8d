"""What makes the tables of a transformation: functions of a module, queries of a folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dlthub_project import current
from dlthub_project.errors import EntityReferenceError, ProjectError

WriteShop = Callable[..., Any]

ALL = "[{dataset: reports}]"
FUNCTIONS = '''
import dlt
import pandas as pd
import pyarrow as pa


@dlt.hub.transformation
def cities(orders: dlt.Dataset):
    """Of two relations, of which the second has a column more."""
    yield orders("SELECT DISTINCT city FROM orders")
    yield orders("SELECT 'Nowhere' AS city, true AS made_up")


@dlt.hub.transformation(table_name="by_city")
def counted(cache: dlt.Dataset, least: int = dlt.config.value):
    """A frame, of what was made before."""
    frame = cache["orders"].df().merge(cache["cities"].df(), on="city")
    counts = frame.groupby("city", as_index=False).agg(orders=("id", "count"))
    return counts[counts["orders"] >= least]


@dlt.hub.transformation
def prices(cache: dlt.Dataset):
    for page in cache["orders"].select("price").iter_arrow(chunk_size=2):
        yield page
    yield pa.record_batch({"price": [1]})
    yield [{"price": 2}]


@dlt.hub.transformation
def nothing(cache: dlt.Dataset):
    yield from ()


def no_transformation(cache: dlt.Dataset):
    raise NotImplementedError
'''


@pytest.mark.sampled(1)
@pytest.mark.parametrize("engine", ["python", "arrow"])
def test_functions_make_tables_of_relations_frames_and_arrow(
    write_shop: WriteShop, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAST", "2")
    files = {"transformations/report.py": FUNCTIONS}
    shop = write_shop(files, engine=engine, outputs=ALL)
    shop.load(1, 2, 4)

    done = shop.report.run()

    assert done.rows == {"reports": {"cities": 3, "by_city": 1, "prices": 5}}
    cities = current.catalog().reports["cities"].select("city", "made_up").fetchall()
    assert sorted(cities, key=str) == [("Nowhere", True), ("Oslo", None), ("Rome", None)]
    assert shop.rows("by_city", "city", "orders") == [("Rome", 2)]
    assert shop.rows("prices", "price") == [(1,), (2,), (10,), (20,), (40,)]
    with pytest.raises(ProjectError, match="has not made `nothing`"):
        shop.report.verify_outputs()


def test_maps_of_a_function_see_rows(write_shop: WriteShop) -> None:
    module = """
        import dlt

        def _double(page):
            return page.set_column(0, "id", [[2 * i.as_py() for i in page["id"]]])

        @dlt.hub.transformation
        def doubled(cache: dlt.Dataset):
            return cache["orders"].select("id")

        doubled.add_map(_double)
    """
    shop = write_shop({"transformations/report.py": module}, engine="python", outputs=ALL)
    shop.load(1, 2)
    shop.report.run()

    assert shop.rows("doubled", "id") == [(2,), (4,)]


def test_functions_make_tables_of_ibis_expressions_and_of_queries_in_texts(
    write_shop: WriteShop,
) -> None:
    module = """
        import dlt

        @dlt.hub.transformation
        def dear(cache: dlt.Dataset):
            orders = cache.table("orders").to_ibis()
            yield orders.filter(orders.price > 10).select("id", "city")
            yield "SELECT id, city FROM orders WHERE id = 1"

        @dlt.hub.transformation
        def counted(cache: dlt.Dataset):
            dear = cache.table("dear").to_ibis()
            return dear.group_by("city").agg(n=dear.count())
    """
    shop = write_shop({"transformations/report.py": module}, engine="python", outputs=ALL)
    shop.load(1, 2, 4)
    shop.report.run()

    assert shop.rows("dear", "id") == [(1,), (2,), (4,)]
    assert shop.rows("counted", "city", "n") == [("Oslo", 1), ("Rome", 2)]


@pytest.mark.slow
def test_connections_of_ibis_to_the_cache_end_with_the_function(write_shop: WriteShop) -> None:
    module = """
        import dlt

        @dlt.hub.transformation
        def few(cache: dlt.Dataset):
            yield cache.ibis().table("orders").select("id").limit(2)

        @dlt.hub.transformation
        def highest(cache: dlt.Dataset):
            return cache.ibis().table("few").id.max().name("id")
    """
    # the output lives in the database that is attached as the input
    shop = write_shop(
        {"transformations/report.py": module},
        engine="python",
        outputs="[{dataset: other_reports}]",
    )
    for id_ in (1, 2):
        shop.load(id_)
        shop.report.run()

    assert shop.rows("few", "id", dataset="other_reports") == [(1,), (2,)]
    assert shop.rows("highest", "id", dataset="other_reports") == [(1,), (2,)]


def test_types_and_descriptions_of_columns_reach_the_output(write_shop: WriteShop) -> None:
    module = """
        import dlt

        @dlt.hub.transformation
        def typed(cache: dlt.Dataset):
            return cache("SELECT id, '[1]'::JSON AS parts, 1.5::DECIMAL(9, 2) AS price, "
                         "DATE '2024-05-01' AS day FROM orders")
    """
    shop = write_shop({"transformations/report.py": module}, engine="python", outputs=ALL)
    shop.load(1)
    shop.report.run()

    columns = current.catalog().reports.schema.tables["typed"]["columns"]
    types = {name: column["data_type"] for name, column in columns.items() if name[0] != "_"}
    assert types == {"id": "bigint", "parts": "json", "price": "decimal", "day": "date"}
    assert columns["price"]["precision"] == 9


def test_queries_run_after_those_that_they_read(write_shop: WriteShop) -> None:
    shop = write_shop(
        {
            "transformations/report/a_last.sql": "WITH orders__lines AS (SELECT 1 AS sku) "
            'SELECT m.n, l.sku FROM "Middle" m, orders__lines l; -- done\n',
            "transformations/report/Middle.sql": "SELECT count(*) AS n FROM z_first",
            "transformations/report/z_first.sql": "/* all; */ FROM ORDERS ORDER BY id;",
            "transformations/report/free.sql": "SELECT * FROM range(3) t(i), "
            "(VALUES (1)) v(x) WHERE i IN (SELECT n + 1 FROM middle)",
        },
        outputs="[{dataset: reports, tables: {a_last: a_last, free: free}}]",
    )
    shop.load(1)
    shop.report.run()

    assert shop.report.info().tables == ["z_first", "Middle", "a_last", "free"]
    assert shop.rows("a_last", "n", "sku") == [(1, 1)]
    assert shop.rows("free", "i") == [(2,)]


WRONG = {
    "a circle": (
        {"a": "FROM b", "b": "FROM c", "c": "SELECT * FROM orders, b"},
        r"files read each other in a circle: b\.sql -> c\.sql -> b\.sql",
    ),
    "itself": ({"a": "SELECT * FROM A"}, r"in a circle: a\.sql -> a\.sql"),
    "unknown table": (
        {"a": "SELECT * FROM order_s"},
        r"a\.sql reads `order_s`, which .*\nKnown: a, orders, .*Did you mean `orders`",
    ),
    "unknown column": ({"a": "SELECT citty FROM orders"}, r'a\.sql: .*"citty" not found'),
    "no query": ({"a": "DELETE FROM orders"}, r"a\.sql does not hold one query"),
    "two queries": ({"a": "SELECT 1; SELECT 2"}, r"a\.sql does not hold one query"),
    "nothing": ({"a": "-- soon"}, r"a\.sql does not hold one query"),
    "no SQL": ({"a": "SELEC 1"}, r'a\.sql: .*syntax error at or near "SELEC"'),
    "two of one name": ({"a": "SELECT 1", "A": "SELECT 1"}, r"A\.sql and .*a\.sql make one table"),
    "an input": ({"orders": "SELECT 1"}, r"`orders` of cache `orders_cache` is an input"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_queries_is_told(write_shop: WriteShop, wrong: str) -> None:
    queries, message = WRONG[wrong]
    files = {f"transformations/report/{name}.sql": query for name, query in queries.items()}
    shop = write_shop(files, outputs=ALL)
    shop.load(1)

    with pytest.raises(ProjectError, match=f"(?s){message}"):
        shop.report.run()


MODULES = {
    "x = 1": "has no function with @dlt.hub.transformation",
    "import no_such_module": "No module named 'no_such_module'",
    """
    import dlt

    @dlt.hub.transformation(table_name="t")
    def first(cache: dlt.Dataset): ...

    @dlt.hub.transformation(table_name="t")
    def second(cache: dlt.Dataset): ...
    """: "`first` and `second` both make table `t`",
    """
    import dlt

    @dlt.hub.transformation(table_name=lambda row: row["x"])
    def first(cache: dlt.Dataset): ...
    """: "`first` takes the name of its table from its rows",
    """
    import dlt

    @dlt.hub.transformation
    def first(cache: dlt.Dataset):
        yield 5
    """: "Table `first` cannot be made of int",
    """
    import dlt

    @dlt.hub.transformation
    def first(cache: dlt.Dataset):
        yield "all orders"
    """: "`first` makes the text 'all orders', which is no query",
    """
    import dlt

    @dlt.hub.transformation
    def first(cache: dlt.Dataset):
        yield "SELECT id FROM ordered"
    """: "reads `ordered`, which is no table of dataset",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("module", MODULES)
def test_what_is_wrong_with_a_module_is_told(write_shop: WriteShop, module: str) -> None:
    shop = write_shop({"transformations/report.py": module}, engine="python", outputs=ALL)
    shop.load(1)

    with pytest.raises((ProjectError, ModuleNotFoundError), match=MODULES[module]):
        shop.report.run()


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("python", r"dlt.yml:\d+:\d+: transformations.report: there is no .*report\.py"),
        ("sql", r"transformations.report: there is no \.sql file in .*transformations.report"),
    ],
)
def test_missing_code_is_told_with_where_it_is_declared(
    write_shop: WriteShop, engine: str, message: str
) -> None:
    shop = write_shop({}, engine=engine)

    with pytest.raises(EntityReferenceError, match=message):
        shop.report.info()
