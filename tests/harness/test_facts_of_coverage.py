"""What `--dlt-cov` keeps of loads and takes down of them: values, keys, contracts, connections."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
import pyarrow as pa
import pytest

from pytest_dlthub.data_coverage import reads
from pytest_dlthub.data_coverage.coverage_recorder import Recorder
from pytest_dlthub.data_coverage.facts import ELSEWHERE, Facts, Figures
from pytest_dlthub.data_coverage.loaded_tables import Loaded, LoadedTable
from pytest_dlthub.data_coverage.seen_values import SeenTable, Values

MANY = {str(n) for n in range(20_001)}


def test_a_column_that_is_null_in_all_rows_has_no_value() -> None:
    values = Values()
    columns = {"id": {"primary_key": True}, "note": {}}
    values.see_rows("1", "shop", "orders", [{"id": 1, "note": None}], columns)
    values.see_rows("2", "shop", "orders", {"id": 2, "note": None}, columns)
    values.see_rows("3", "shop", "orders", [{"id": 3, "note": "x"}], columns)
    values.see_rows("1", "shop", "orders", pa.table({"note": ["of Arrow"]}), columns)
    values.see_rows("1", "shop", "orders", [], columns)

    seen = values.taken(["1", "2", "0"], "shop", "orders")

    assert seen is not None
    assert (seen.columns, seen.keys) == ({"id"}, {"[1]", "[2]"})
    # what was taken is forgotten, and what was not is there
    assert values.taken(["1", "2"], "shop", "orders") is None
    last = values.taken(["3"], "shop", "orders")
    assert last is not None
    assert last.columns == {"id", "note"}


def test_of_too_many_keys_nobody_knows_which_were_there() -> None:
    seen = SeenTable(keys={"[1]"})
    seen.add_keys(MANY)
    assert seen.keys is None
    seen.add_keys({"[2]"})
    assert seen.keys is None

    loaded = LoadedTable()
    assert loaded.bring({"[1]"}) is False
    assert loaded.bring({"[1]", "[2]"}) is True
    assert loaded.bring(MANY) is None
    # one that is met is met; one that is not may have been among those that were not kept
    assert loaded.bring({"[2]"}) is True
    assert loaded.bring({"[3]"}) is None
    assert loaded.bring(None) is None


def test_of_arrow_data_the_files_tell_values_and_keys(tmp_path: Path) -> None:
    pipeline = dlt.pipeline(
        "shop",
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.duckdb(str(tmp_path / "shop.duckdb")),
    )
    page = pa.table(
        {
            "Id": [1, 2],
            "note": pa.array([None, None], pa.string()),
            "at": pa.array(
                [{"x": None, "y": 1}, None], pa.struct({"x": pa.int64(), "y": pa.int64()})
            ),
        }
    )
    keyed = dlt.resource([page], name="orders", primary_key="id")
    other = dlt.resource([page], name="others", primary_key="number")
    empty = dlt.resource([page.slice(0, 0)], name="nothing")
    pipeline.extract([keyed, other, empty])

    values = Values()
    values.see_files(pipeline)
    load_ids = pipeline.list_extracted_load_packages()
    [schema] = pipeline.schema_names
    orders = values.taken(load_ids, schema, "orders")
    others = values.taken(load_ids, schema, "others")

    assert orders is not None
    assert (orders.columns, orders.keys) == ({"id", "at"}, {"[1]", "[2]"})
    # its key is no column
    assert others is not None
    assert (others.columns, others.keys) == ({"id", "at"}, None)
    assert values.taken(load_ids, schema, "nothing") is None


@pytest.fixture
def recorder() -> Recorder:
    """One of plain code: a session without a project."""
    session: Any = SimpleNamespace(
        root=None, is_project=False, is_left_to_dlthub=False, test_files=frozenset(), profile=""
    )
    return Recorder(session)


def load(recorder: Recorder, folder: str, dataset: str) -> None:
    """Have a table loaded with one column that had a value, and one of which nobody knows."""
    found = {
        dataset: {
            "is_watched": True,
            "cursors": [["load", "shop.orders", "orders"]],
            "tables": [
                ["orders", "shop.orders", ["id", "x", "z"], ["id"], ["x"], 1, ["[1]"], True]
            ],
        }
    }
    recorder._loaded.take(folder, found)


ID, X = (("reads", "shop.orders", "orders", column) for column in ("id", "x"))


def test_a_column_without_a_value_is_not_looked_at(recorder: Recorder) -> None:
    load(recorder, "", "sales")
    columns = [("orders", name) for name in ("id", "x", "z")] + [("other", "id")]
    recorder.looked("sales", columns, True)
    recorder.looked("elsewhere", columns, True)

    assert recorder.target == Facts(known={ID, X}, covered={ID}, unknown={X})


def test_whoever_takes_a_connection_may_have_looked_at_anything(
    recorder: Recorder, tmp_path: Path
) -> None:
    load(recorder, "", "sales")
    database = tmp_path / "sales.duckdb"
    for name, path in ((None, ":memory:"), (None, "md:sales"), (None, str(database)), ("x", "")):
        # its own, one that is not there, and a dataset that nobody has loaded
        recorder.connection_taken(name, path)
        assert not recorder.target

    recorder.connection_taken("sales", "")
    assert recorder.target == Facts(known={ID, X}, unknown={ID, X})

    recorder.target = Facts()
    database.touch()
    recorder.connection_taken(None, str(database))
    assert recorder.target == Facts(known={ID, X}, unknown={ID, X})


def test_a_query_of_code_reads_what_it_names_of_loaded_tables(recorder: Recorder) -> None:
    load(recorder, "", "sales")
    client = SimpleNamespace(
        dataset_name="sales", capabilities=SimpleNamespace(sqlglot_dialect="duckdb")
    )
    with reads.suppressed():
        recorder.query_read(client, "select id from orders")
    recorder.query_read(client, object())
    recorder.query_read(SimpleNamespace(dataset_name="others"), "select id from orders")
    assert not recorder.target

    recorder.query_read(client, "select id from orders")
    assert recorder.target == Facts(known={ID}, covered={ID})


def test_a_test_that_has_ended_leaves_nothing_to_look_at(recorder: Recorder) -> None:
    for folder in ("test", "test/inner", "tests", ""):
        load(recorder, folder, "sales")
    recorder.forget("test")

    found = recorder._loaded
    assert [bool(found.to_json(one)) for one in ("test", "test/inner", "tests", "")] == [
        False,
        False,
        True,
        True,
    ]


def test_what_was_loaded_travels_as_json_and_a_refresh_begins_anew() -> None:
    first, second = Loaded(), Loaded()
    dataset = first.dataset("here", "sales")
    dataset.is_watched = False
    dataset.cursors |= {("load", "shop.orders", "orders"), ("load", "others", "orders")}
    dataset.table("orders", "shop.orders").bring({"[1]"})
    dataset.table("orders", "others").bring({"[1]"})
    second.take("there", first.to_json("here"))
    copied = second.dataset("there", "sales")
    assert copied == dataset

    copied.refresh("shop.orders")
    assert copied.cursors == {("load", "others", "orders")}
    # it has not met the key, and the other source has
    assert copied.table("orders", "shop.orders").bring({"[1]"}) is False
    assert copied.table("orders", "others").bring({"[1]"}) is True
    # the original is not the copy
    assert dataset.table("orders", "shop.orders").bring({"[1]"}) is True


def test_the_latest_of_datasets_of_one_name_is_read_where_a_sandbox_has_none() -> None:
    loaded = Loaded()
    first, last = loaded.dataset("a", "sales"), loaded.dataset("b", "sales")

    assert loaded.find("a", "sales") is first
    assert loaded.find("c", "sales") is last
    assert loaded.find(None, "sales") is last
    assert loaded.find("a", "other") is None
    assert [*loaded.all()] == [first, last]


def test_a_breach_is_one_of_the_contract_of_its_resource_else_of_its_source(
    recorder: Recorder,
) -> None:
    of_source, of_orders, of_lines = (
        ("contracts", "shop", name, "columns=freeze") for name in ("", "orders", "orders__lines")
    )
    recorder._owner_of = {("shop", "orders"): "shop", ("shop", "orders__lines"): "shop"}
    recorder._contracts = {("shop", "orders__lines", "columns"): of_lines}
    recorder.contract_breached("shop", "orders", "columns")
    recorder.contract_breached("other", "orders__lines", "columns")
    assert not recorder.target

    # the resource with the longest name is meant
    recorder._contracts["shop", "orders", "columns"] = of_orders
    recorder.contract_breached("shop", "orders__lines__parts", "columns")
    assert recorder.target.covered == {of_lines}

    recorder.contract_breached("shop", "orders__parts", "columns")
    assert recorder.target.covered == {of_lines, of_orders}

    recorder._contracts["shop", "", "columns"] = of_source
    recorder.contract_breached("shop", "else", "columns")
    assert recorder.target.covered == {of_lines, of_orders, of_source}


def test_what_a_subprocess_has_run_is_unknown(recorder: Recorder, tmp_path: Path) -> None:
    recorder.owners._registered = {("shop", "orders"): "shop", ("shop", "lines"): "shop"}
    for name in ("ours", "theirs", "attached"):
        folder = tmp_path / "data" / "pipelines" / name
        (folder / "schemas").mkdir(parents=True)
        (folder / "schemas" / "orders.schema.json").touch()
        if name != "attached":
            (folder / "trace.pickle").touch()
    recorder._working_dirs = {str(tmp_path / "data" / "pipelines" / "ours")}
    recorder.look_for_subprocesses(tmp_path)

    assert recorder.target.unknown == {("pipelines", "theirs"), (ELSEWHERE, "shop.orders")}
    # all of that source, since it may have run
    [column] = items = [("columns", "shop.orders", "orders", "id")]
    assert Figures.of(recorder.target, items).unknown == (column,)


def test_what_a_failed_test_has_covered_is_not() -> None:
    a, b, c = ("sources", "a"), ("sources", "b"), ("sources", "c")
    total = Facts(notes={a: "old"})
    total.add(Facts(known={a}, covered={a}, unknown={b}, notes={a: "new"}), has_passed=False)
    assert total == Facts(known={a}, notes={a: "new"})

    total.add(Facts(known={b, c}, covered={a}, unknown={b}))
    figures = Figures.of(total, total.known)
    assert (figures.covered, figures.unknown, figures.missed) == ((a,), (b,), (c,))
    assert (figures.count, round(figures.percent or 0)) == (3, 33)
    assert Figures.of(total, []).percent is None
    assert Facts.from_json(total.to_json()) == total
    assert total.without(Facts(known={b}, notes={a: "old"})) == Facts({a, c}, {a}, {b}, {a: "new"})
    assert not total.without(total)


def test_a_comparison_of_items_without_a_source_is_nobodys(recorder: Recorder) -> None:
    recorder.items_yielded(dlt.resource([1], name="rows"), {"rows": 1})

    assert not recorder.target
