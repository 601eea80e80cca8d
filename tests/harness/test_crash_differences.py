"""What is compared after a crash, and how a difference is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals.fault_points import listening
from dlthub_project.faults import POINTS, Strike, Trail
from pytest_dlthub import DltRun
from pytest_dlthub.crashes.contents import CURRENT, Contents, Table, contents_of
from pytest_dlthub.crashes.crash_report import Crash, Crashes, joined
from pytest_dlthub.crashes.problems import Problem, differences

ROWS = ({"id": 1, "n": 1}, {"id": 2, "n": 1})
WHOLE = Contents(
    tables={"orders": Table(ROWS, ("a", "b"), ("id",), ())},
    columns={"orders": {"id": {"data_type": "bigint"}}},
    state={"shop": {"at": 2}},
    stored_state={},
    unfinished=(),
    entered_twice=0,
    unstored=(),
)


def of_rows(*rows: Any, ids: Any, nested: Any = ()) -> Contents:
    return replace(WHOLE, tables={"orders": Table(rows, ids, ("id",), nested)})


@pytest.mark.parametrize(
    ("actual", "subject", "words", "cause"),
    [
        (of_rows(*ROWS, *ROWS, ids="abab"), "orders", "2 rows twice", "loaded twice"),
        (of_rows(*ROWS, *ROWS, ids="abcd"), "orders", "2 rows twice", "extracted twice"),
        (of_rows(*ROWS, *ROWS, ids=[None] * 4), "orders", "2 rows twice", "without ids"),
        (of_rows(*ROWS, ROWS[0], ROWS[0], ids="abaa"), "orders", "1 row 3 times", "loaded twice"),
        (of_rows(ROWS[0], ids="a"), "orders", "1 row lost", "lost"),
        (of_rows(ROWS[0], {"id": 2, "n": 2}, ids="ab"), "orders", "1 row differs", "other"),
        (of_rows(*ROWS, {"id": 3, "n": 2}, ids="abc"), "orders", "1 row too many", "other"),
        (
            of_rows(*ROWS, ids="ab", nested=({"id": 1, "orders__lines": []},)),
            "orders",
            "rows of nested tables belong to other rows",
            "other",
        ),
        (replace(WHOLE, tables={}), "orders", "the table is missing", "lost"),
        (replace(WHOLE, columns={"orders": {}}), "orders", "1 column differs", "other"),
        (
            replace(WHOLE, columns={**WHOLE.columns, "lines": {}}),
            "lines",
            "the schema has the table",
            "other",
        ),
        (
            replace(WHOLE, state={"shop": {"at": 1}}),
            "the state of the pipeline",
            "differs",
            "other",
        ),
        (
            replace(WHOLE, stored_state={"shop": {}}),
            "the state at the destination",
            "differs",
            "other",
        ),
        (
            replace(WHOLE, unfinished=("orders",)),
            "_dlt_loads",
            "lacks a load that has rows in orders",
            "lost",
        ),
        (
            replace(WHOLE, entered_twice=1),
            "_dlt_loads",
            "1 load is entered twice",
            "loaded twice",
        ),
        (
            replace(WHOLE, unstored=("shop",)),
            "schema shop",
            "its current version is not at the destination",
            "other",
        ),
    ],
)
def test_each_difference_is_told(actual: Contents, subject: str, words: str, cause: str) -> None:
    found = [(p.subject, p.words, p.cause) for p in differences(actual, WHOLE)]

    assert found == [(subject, words, cause)]
    assert differences(WHOLE, WHOLE) == []
    # what an uninterrupted run leaves as well is no fault of a crash
    assert differences(actual, actual) == []


def test_hashes_at_the_last_value_of_a_cursor_have_no_order() -> None:
    def at_last_value(*hashes: str) -> Contents:
        return replace(WHOLE, state={"shop": {"at": {"unique_hashes": [*hashes]}}})

    assert differences(at_last_value("a", "b"), at_last_value("b", "a")) == []
    (told,) = differences(at_last_value("a"), at_last_value("a", "b"))
    assert told.subject == "the state of the pipeline"


def test_one_problem_at_several_points_is_told_once() -> None:
    twice = Problem("orders", "1 row twice", "id=1", "loaded twice")
    fails = Problem("shop", "the next run fails", "", "fails", ("step load: OSError: gone",))
    first, second, third = POINTS[:3]
    crashes = Crashes(
        "shop",
        "kill",
        "dlt",
        (
            Crash(first, True, ("orders",), (twice,)),
            joined([Crash(second, True, ("a",), (twice, fails)), Crash(second, True, ("b",))]),
            Crash(third, False),
        ),
    )

    assert crashes.text().splitlines()[:4] == [
        "orders: 1 row twice after a kill in extract (id=1)",
        "  and between the extracted package and its state",
        "shop: the next run fails after a kill between the extracted package and its state",
        "  step load: OSError: gone",
    ]
    assert crashes.crashes[1].tables == ("a", "b")
    assert crashes.summary == "shop: a kill at 2 points; never reached: before_normalize"
    assert Crashes("shop", "kill", "dlt", (Crash(first, True),)).text() == ""


def test_contents_are_rows_as_the_source_has_them(dlt_run: DltRun) -> None:
    @dlt.source
    def shop() -> Iterator[Any]:
        rows = [{"id": 1, "at": 5, "lines": [{"n": 1}, {"n": 2}]}, {"id": 2, "at": 6, "lines": []}]
        yield dlt.resource(rows, name="orders", primary_key="id", write_disposition="merge")
        scd2 = {"disposition": "merge", "strategy": "scd2"}
        yield dlt.resource([{"id": 1}], name="prices", write_disposition=scd2)

    first = dlt_run(shop())
    found = contents_of(first.pipeline, ["orders.at"])

    orders = found.tables["orders"]
    assert sorted(orders.rows, key=str) == [{"id": 1}, {"id": 2}]
    assert (orders.key, len({*orders.ids})) == (("id",), 2)
    assert sorted(orders.nested, key=str) == [
        {"id": 1, "orders__lines": [{"n": 1}, {"n": 2}]},
        {"id": 2, "orders__lines": []},
    ]
    assert found.tables["prices"].rows == [{"id": 1, CURRENT: True}]
    assert (found.unfinished, found.entered_twice, found.unstored) == ([], 0, [])
    assert differences(found, contents_of(first.pipeline, ["orders.at"])) == []


def test_contents_are_of_all_schemas_and_know_how_their_loads_are_entered(dlt_run: DltRun) -> None:
    def shop(name: str) -> Any:
        return dlt.source(lambda: dlt.resource([{"id": 1}], name=f"of_{name}"), name=name)()

    run = dlt_run([shop("first"), shop("second")])
    with run.pipeline.sql_client() as client:
        loads = client.make_qualified_table_name("_dlt_loads")
        of = "WHERE schema_name ="
        client.execute_sql(f"INSERT INTO {loads} SELECT * FROM {loads} {of} 'first'")
        client.execute_sql(f"UPDATE {loads} SET status = 1 {of} 'second'")
    found = contents_of(run.pipeline, [])

    assert {*found.tables} == {"of_first", "of_second"}
    assert (found.unfinished, found.entered_twice) == (["of_second"], 1)


def test_a_strike_happens_once_at_its_point(dlt_run: DltRun) -> None:
    struck: list[str] = []
    trail = Trail()
    (point,) = (p for p in POINTS if p.name == "between_jobs")
    strike = Strike(point, "exception", "dlt_run", struck.extend)
    with listening(trail), listening(strike):
        with pytest.raises(PipelineStepFailed, match="between jobs, as this test asks"):
            dlt_run([{"id": 1}], table_name="orders")
        dlt_run([{"id": 1}], table_name="orders", runner=True)

    assert struck == ["orders"]
    assert trail.has_extracted("dlt_run")
    assert trail.tables("dlt_run", of_followups=False) == {"orders"}
    has = {p.name for p in POINTS if trail.has(p, "dlt_run")}
    assert {p.name for p in POINTS} - has == {"merge_commit", "stored_trace"}
