"""Snapshots of schemas: what is kept of a schema, and what is said when it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from dlt.common.schema.utils import new_table
from neighbours import without_neighbours
from sessions import run_session, run_session_apart

from pytest_dlthub import DltRun
from pytest_dlthub.assertions.schema_changes import changes, described, told

Columns = dict[str, dict[str, Any]]
ID: Columns = {"id": {"data_type": "bigint", "nullable": False, "primary_key": True}}
PRICE: Columns = {**ID, "price": {"data_type": "bigint"}}


def schema_of(columns: Columns = PRICE, name: str = "shop", **tables: Any) -> dlt.Schema:
    """Return a schema with a table `orders` that has these columns, and with other tables."""
    schema = dlt.Schema(name)
    for table, hints in {"orders": {"columns": columns}, **tables}.items():
        own = [{"name": n, **column} for n, column in hints.get("columns", ID).items()]
        others = {key: value for key, value in hints.items() if key != "columns"}
        schema.update_table({**new_table(table, columns=own), **others})  # type: ignore[arg-type,typeddict-item]
    return schema


def told_between(before: dlt.Schema, now: dlt.Schema) -> list[str]:
    return [str(change) for change in changes(described(before), described(now))]


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (schema_of(), []),
        (
            schema_of({**ID, "price": {"data_type": "text"}}),
            ["breaking: column orders.price: bigint → text"],
        ),
        (schema_of(ID), ["breaking: column orders.price removed"]),
        (
            schema_of(orders__items={"parent": "orders"}),
            ["additive: new table orders__items"],
        ),
        (
            schema_of({**PRICE, "note": {"data_type": "text", "precision": 10}}),
            ["additive: new column orders.note: text(10)"],
        ),
        # a table that has rows takes no such column
        (
            schema_of({**PRICE, "note": {"data_type": "text", "nullable": False}}),
            ["breaking: new column orders.note: text, not null"],
        ),
        (
            schema_of({**PRICE, "shop": {"data_type": "text", "primary_key": True}}),
            ["breaking: new column orders.shop: text, primary_key"],
        ),
        (
            schema_of({"id": {"data_type": "bigint"}, "price": {"data_type": "bigint"}}),
            [
                "breaking: column orders.id: not null → nullable",
                "breaking: column orders.id: no longer primary_key",
            ],
        ),
        (
            schema_of({**ID, "price": {"data_type": "bigint", "nullable": False, "sort": True}}),
            [
                "breaking: column orders.price: nullable → not null",
                "breaking: column orders.price: now sort",
            ],
        ),
        (
            schema_of({**ID, "price": {"data_type": "decimal", "precision": 10, "scale": 2}}),
            ["breaking: column orders.price: bigint → decimal(10,2)"],
        ),
        (
            schema_of({**ID, "price": {"data_type": "timestamp", "timezone": False}}),
            ["breaking: column orders.price: bigint → timestamp without time zone"],
        ),
        (
            schema_of({**ID, "price": {"data_type": "bigint", "description": "In cents"}}),
            ["additive: column orders.price: description none → In cents"],
        ),
        (
            schema_of(orders={"columns": PRICE, "write_disposition": "replace"}),
            ["breaking: table orders: write_disposition append → replace"],
        ),
        (
            schema_of(orders={"columns": PRICE, "schema_contract": {"columns": "freeze"}}),
            ["breaking: table orders: schema_contract none → {'columns': 'freeze'}"],
        ),
        (
            # somebody has called the resource otherwise: its cursors begin anew
            schema_of(orders={"columns": PRICE, "resource": "sales"}),
            ["breaking: table orders: resource none → sales"],
        ),
        (schema_of(name="market"), ["breaking: schema market: schema shop → market"]),
        (
            schema_of(ID, events={}),
            ["breaking: column orders.price removed", "additive: new table events"],
        ),
    ],
    ids=lambda value: "" if isinstance(value, dlt.Schema) else str(value)[2:50],
)
def test_each_change_is_told_and_is_breaking_or_additive(now: dlt.Schema, lines: list[str]) -> None:
    assert told_between(schema_of(), now) == lines


def test_a_removed_table_is_breaking() -> None:
    before = schema_of(events={})

    assert told_between(before, schema_of()) == ["breaking: table events removed"]


def test_a_type_for_a_column_that_had_none_is_additive() -> None:
    before = schema_of({**ID, "price": {"cluster": True}})
    now = schema_of({**ID, "price": {"data_type": "double", "cluster": True}})

    assert told_between(before, now) == ["additive: column orders.price: no type → double"]


def test_many_changes_are_counted() -> None:
    many = {f"c{i:02}": {"data_type": "text"} for i in range(30)}
    lines = told(changes(described(schema_of({**ID, **many})), described(schema_of())))

    assert lines[0] == "30 breaking changes, 1 additive change"
    assert lines[1] == "breaking: column orders.c00 removed"
    assert (len(lines), lines[-1]) == (22, "and 11 more")


def test_what_changes_from_run_to_run_is_left_out(dlt_run: DltRun) -> None:
    @dlt.resource(primary_key="id", write_disposition="merge", columns={"day": {"sort": True}})
    def orders() -> Any:
        yield {"id": 1, "nothing": None, "lines": [{"sku": "tea"}]}

    first = dlt_run(orders)
    kept = described(first.schema)
    second = first.next(given={"orders": [{"lines": [{"sku": "ale"}], "id": 2}]})

    assert kept == {
        "schema": "dlt_run",
        "tables": {
            "orders": {
                "write_disposition": "merge",
                "columns": {
                    "day": {"sort": True},
                    "id": {"data_type": "bigint", "nullable": False, "primary_key": True},
                },
            },
            "orders__lines": {"parent": "orders", "columns": {"sku": {"data_type": "text"}}},
        },
    }
    assert described(second.schema) == kept


SUITE = """
import dlt
import pytest
from syrupy.filters import props
from dlt.common.schema.utils import new_table

def schema(*columns):
    found = dlt.Schema("shop")
    given = [{"name": name, "data_type": kind} for name, kind in columns]
    found.update_table(new_table("orders", columns=given))
    return found

NOW = schema(("id", "bigint"), ("on", "text"), ("size", "double"))

def test_any(dlt_schema_snapshot):
    assert NOW == dlt_schema_snapshot

@pytest.mark.parametrize("n", [1])
@pytest.mark.dlt_schema_snapshot(fails_on="breaking")
def test_breaking(dlt_schema_snapshot, n):
    assert dlt_schema_snapshot == NOW
    assert NOW == dlt_schema_snapshot(name="slim", exclude=props("on"))
"""
UPDATED = ("-p", "no:cacheprovider")


@pytest.fixture
def syrupy(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a session with syrupy on the suite, with another schema if one is given."""
    monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours(but=("syrupy",)))

    def run(*arguments: str, now: str = "", suite: str = SUITE) -> pytest.RunResult:
        text = suite.replace(', ("size", "double")', now) if now else suite
        pytester.makepyfile(test_it=text)
        if "-n" in arguments:
            return run_session_apart(pytester, *UPDATED, *arguments)
        return run_session(pytester.path, *UPDATED, *arguments)

    return run


def test_a_snapshot_is_written_compared_and_updated(
    pytester: pytest.Pytester, syrupy: Callable[..., Any]
) -> None:
    missing = syrupy()
    missing.assert_outcomes(failed=2)
    missing.stdout.fnmatch_lines(
        [
            "E*Snapshot 'test_any' does not exist!",
            "E*pytest --snapshot-update writes the schema as it is now",
        ]
    )

    syrupy("--snapshot-update").assert_outcomes(passed=2)
    folder = pytester.path / "__snapshots__" / "test_it"
    assert {path.name for path in folder.iterdir()} == {
        "test_any.schema.yaml",
        "test_breaking[1].schema.yaml",
        "test_breaking[1][slim].schema.yaml",
    }
    file = folder / "test_any.schema.yaml"
    assert file.read_text(encoding="utf-8") == (
        "schema: shop\n"
        "tables:\n"
        "  orders:\n"
        "    write_disposition: append\n"
        "    columns:\n"
        "      id: {data_type: bigint}\n"
        "      'on': {data_type: text}\n"
        "      size: {data_type: double}\n"
    )
    # as git may have written it, and somebody's editor
    text = file.read_text(encoding="utf-8")
    file.write_bytes(text.replace("\n", "\r\n").replace("size", '"size"').encode())
    syrupy("-W", "error").assert_outcomes(passed=2)

    grown = syrupy(now=', ("size", "double"), ("new", "text")')
    grown.assert_outcomes(passed=1, failed=1)
    grown.stdout.fnmatch_lines(
        [
            "E*1 additive change",
            "E*additive: new column orders.new: text",
            "*= dlt schemas =*",
            "test_it.py::test_breaking[[]1]: new column orders.new: text",
            "pytest --snapshot-update adds these to the snapshots",
        ]
    )

    broken = syrupy(now=', ("size", "text")')
    broken.assert_outcomes(failed=2)
    # in CI the summary has them once more
    told = [line for line in broken.outlines if line.startswith("E ")]
    assert sum("breaking: column orders.size: double → text" in line for line in told) == 2
    broken.stdout.no_fnmatch_line("*dlt schemas*")

    # also of what is only additive, and where a snapshot is broken
    file.write_text("<<<<<<< HEAD\n: {", encoding="utf-8")
    new = ', ("size", "double"), ("new", "text")'
    syrupy("--snapshot-update", now=new).assert_outcomes(passed=2)
    for path in folder.iterdir():
        assert "new: {data_type: text}" in path.read_text(encoding="utf-8")
    file.write_text("<<<<<<< HEAD\n: {", encoding="utf-8")
    syrupy(now=new).stdout.fnmatch_lines(["E*the snapshot is no YAML: *"])


def test_mistakes_are_told(pytester: pytest.Pytester, syrupy: Callable[..., Any]) -> None:
    suite = """
        import pytest

        def test_no_schema(dlt_schema_snapshot):
            assert [{"id": 1}] == dlt_schema_snapshot

        @pytest.mark.dlt_schema_snapshot("breaking")
        def test_mark(dlt_schema_snapshot):
            pass

        class TestOther:
            @pytest.fixture
            def snapshot(self):
                return 7

            def test_other(self, dlt_schema_snapshot):
                pass
    """
    result = syrupy(suite=suite)
    result.assert_outcomes(failed=1, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "*dlt_schema_snapshot: list is no schema; compare it with run.schema*",
            '*dlt_schema_snapshot: the mark takes fails_on="any" or fails_on="breaking"',
            "*dlt_schema_snapshot: the fixture `snapshot` of these tests is not that of syrupy",
        ]
    )

    without = syrupy("-p", "no:syrupy", suite=suite)
    without.assert_outcomes(errors=3)
    without.stdout.fnmatch_lines(['*dlt_schema_snapshot needs syrupy: pip install "pytest-dlthub*'])

    pytester.makeini("[pytest]\ndlt_schema_snapshot_fails_on = additive")
    refused = syrupy(suite=suite)
    refused.stderr.fnmatch_lines(
        ["*dlt_schema_snapshot_fails_on: any or breaking is expected, not 'additive'*"]
    )


@pytest.mark.slow
def test_additive_changes_arrive_from_workers(
    pytester: pytest.Pytester, syrupy: Callable[..., Any]
) -> None:
    pytester.makeini("[pytest]\ndlt_schema_snapshot_fails_on = breaking")
    syrupy("--snapshot-update").assert_outcomes(passed=2)

    grown = syrupy("-n", "2", now=', ("size", "double"), ("new", "text")')

    grown.assert_outcomes(passed=2)
    grown.stdout.fnmatch_lines_random(
        [
            "test_it.py::test_any: new column orders.new: text",
            "test_it.py::test_breaking[[]1]: new column orders.new: text",
        ]
    )
