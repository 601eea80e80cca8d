"""What pytest says of rows and row counts that are not as expected."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from unittest.mock import ANY

import pytest
from dirty_equals import IsFloat, IsPartialDict, IsPositive
from sessions import run_session

from pytest_dlthub import DltRun, Rows
from pytest_dlthub.assertions.differences import explained

UTC = datetime.timezone.utc


class Read(list[dict[str, Any]]):
    """Rows that know where they are from."""

    table = "orders"
    key = ("id",)


TUPLES = Rows([(1, 10), (2, 20), (3, 30)], table="orders", key=["id"], names=["id", "total"])
TWO = Rows([{"id": 1, "price": 1.5}, {"id": 2, "price": 2.5}], table="orders", key=["id"])
ORDERS = Read({"id": i, "total": 10 * i, "note": "x"} for i in range(1, 21))


def changed(change: dict[int, dict[str, Any]], without: tuple[int, ...] = ()) -> list[Any]:
    return [{**row, **change.get(row["id"], {})} for row in ORDERS if row["id"] not in without]


@pytest.mark.parametrize(
    ("actual", "expected", "lines"),
    [
        pytest.param(
            ORDERS,
            [*changed({14: {"total": 141}}, without=(20,)), {"id": 21, "total": 1, "note": "x"}],
            [
                "orders: 1 row differs, 1 row missing, 1 row too many",
                "orders id=14: total 140 != 141",
                "orders: 1 row missing: id=21",
                "orders: 1 row too many: id=20",
            ],
            id="by the key that the rows know",
        ),
        pytest.param(
            [{"id": 3, "price": "10"}],
            [{"id": 3, "price": 10}],
            ["1 row differs", "id=3: price '10' (str) != 10 (int)"],
            id="with types where values look equal",
        ),
        pytest.param(
            [{"at": datetime.datetime(2026, 1, 2, tzinfo=UTC), "n": 1}],
            [{"at": "2026-01-02 00:00:00+00:00", "n": 1}],
            [
                "1 row differs",
                "n=1: at 2026-01-02 00:00:00+00:00 (datetime) != '2026-01-02 00:00:00+00:00' (str)",
            ],
            id="a moment and its text",
        ),
        pytest.param(
            changed({}, without=(8,)),
            list(ORDERS),
            ["orders: 1 row missing".replace("orders: ", ""), "1 row missing: id=8"],
            id="a missing row is not explained by the next one",
        ),
        pytest.param(
            [{"name": "a", "n": 1}, {"name": "a", "n": 1}],
            [{"name": "a", "n": 1}],
            ["1 row too many", "1 row too many: name='a'"],
            id="a row that is there twice",
        ),
        pytest.param(
            Read([{"id": 1, "n": 1}, {"id": 1, "n": 2}]),
            [{"id": 1, "n": 2}],
            ["orders: 1 row too many", "orders: 1 row too many: id=1"],
            id="a key that is there twice",
        ),
        pytest.param(
            Read([{"id": 1, "n": 1}, {"id": 2, "n": 2}, {"id": 3, "n": 3}]),
            [{"id": 1, "n": 0}, {"id": ANY, "n": 3}, {"id": ANY, "n": pytest.approx(2)}],
            ["orders: 1 row differs", "orders id=1: n 1 != 0"],
            id="keys that equal anything",
        ),
        pytest.param(
            [{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 2}],
            [{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 1}],
            ["1 row differs", "b=2: c 2 != 3"],
            id="without a key, in any order",
        ),
        pytest.param(
            [{"a": 1, "b": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 2}],
            [{"a": 1, "b": 1}, {"a": 1, "b": 1}, {"a": 3, "b": 4}],
            [
                "1 row missing, 1 row too many",
                "1 row missing: {'a': 3, 'b': 4}",
                "1 row too many: {'a': 2, 'b': 2}",
            ],
            id="rows that have nothing in common",
        ),
        pytest.param(
            Read([{"id": 1, "total": 1, "extra": 0}]),
            [{"id": 1, "total": 2, "note": 0}],
            [
                "orders: column missing: note, column too many: extra, 1 row differs",
                "orders: column missing: note",
                "orders: column too many: extra",
                "orders id=1: total 1 != 2",
            ],
            id="columns of one side",
        ),
        pytest.param(
            Read([{"id": 1, "tags": {"a": [1, {"b": Decimal("1.5")}]}}]),
            [{"id": 1, "tags": {"a": [1, {"b": Decimal(2)}]}}],
            ["orders: 1 row differs", "orders id=1: tags.a[1].b Decimal('1.5') != Decimal('2')"],
            id="within a cell",
        ),
        pytest.param(
            Read([{"id": 1, "text": "x" * 5000 + "end"}]),
            [{"id": 1, "text": "x" * 5000 + "END"}],
            [
                "orders: 1 row differs",
                "orders id=1: text 'xxxxxxxxxxend' != 'xxxxxxxxxxEND' (from character 4990)",
            ],
            id="far behind in a long text",
        ),
        pytest.param(
            Read([]),
            [{"id": 1}],
            ["orders: 1 row missing; there are no rows", "orders: 1 row missing: id=1"],
            id="none",
        ),
        pytest.param(
            [{"id": 1}],
            Read([{"id": 2}]),
            [
                "orders: 1 row missing, 1 row too many",
                "orders: 1 row missing: {'id': 1}",
                "orders: 1 row too many: {'id': 2}",
            ],
            id="what was read stands second",
        ),
        pytest.param(
            [{"id": 1}, {"id": 2}],
            [{"id": 2}, {"id": 1}],
            ["the same rows in another order", "row 0: {'id': 1} != {'id': 2}"],
            id="plain lists in another order",
        ),
        pytest.param(
            {"orders": 3, "items": 2, "same": 1},
            {"orders": 4, "lines": 1, "same": 1},
            ["3 counts differ", "orders: 3 != 4", "lines: missing", "items: too many, with 2"],
            id="counts",
        ),
        pytest.param(
            {"orders": 3, "items": 2},
            {"orders": IsPositive, "items": pytest.approx(3)},
            ["1 count differs", "items: 2 != 3 ± 3.0e-06"],
            id="counts that are roughly known",
        ),
        pytest.param(
            TUPLES,
            [(3, 30), (1, 11), (2, 20)],
            ["orders: 1 row differs", "orders id=1: total 10 != 11"],
            id="tuples in any order",
        ),
        pytest.param(
            [(3, 30), (4, 40), (1, 10)],
            TUPLES,
            [
                "orders: 1 row missing, 1 row too many",
                "orders: 1 row missing: id=4",
                "orders: 1 row too many: id=2",
            ],
            id="tuples, one of them another",
        ),
        pytest.param(
            TUPLES[:2],
            [(2,), (1, 10)],
            [
                "orders: 1 row missing, 1 row too many",
                "orders: missing: (2,)",
                "orders: too many: (2, 20)",
            ],
            id="tuples of another length",
        ),
        pytest.param(
            TWO,
            [IsPartialDict(id=2), IsPartialDict(id=7)],
            [
                "orders: 1 row missing, 1 row too many",
                "orders: missing: IsPartialDict(id=7)",
                "orders: too many: {'id': 1, 'price': 1.5}",
            ],
            id="what stands for rows",
        ),
        pytest.param(
            TWO,
            [{"id": 2, "price": IsFloat}, {"id": IsPositive, "price": pytest.approx(1.6)}],
            ["orders: 1 row differs", "orders id=1: price 1.5 != 1.6 ± 1.6e-06"],
            id="what stands for a key",
        ),
    ],
)
def test_rows_that_differ_are_told_by_key_and_cell(
    actual: Any, expected: Any, lines: list[str]
) -> None:
    assert explained(actual, expected) == lines


def test_what_is_told_is_bounded() -> None:
    text = "y" * 100_000
    wide = [{"id": i, **{f"c{n}": n for n in range(41)}} for i in range(3000)]
    other = [{"id": i, **{f"c{n}": text for n in range(41)}} for i in range(3000)]

    lines = explained(wide, other) or []

    assert lines[0] == "3000 rows differ"
    assert lines[1].startswith("id=0: c0 0 != 'yyyyy")
    assert lines[1].endswith(", and 36 more")
    assert lines[-1] == "more rows that differ: 2990"
    assert len(lines) == 12
    assert max(map(len, lines)) < 500
    absent = explained(Read(), wide) or []
    assert absent[1] == (
        "orders: 3000 rows missing: " + ", ".join(f"id={i}" for i in range(10)) + ", and 2990 more"
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1, 2], [1, 3]),
        ([{"a": 1}, 2], [{"a": 1}, 3]),
        ([], []),
        (list(ORDERS), list(ORDERS)),
        (ORDERS, Read(reversed(ORDERS))),
        ({"a": "x"}, {"a": "y"}),
        ({"a": True}, {"a": False}),
        ({"a": 1}, {"a": 1}),
        (TUPLES, TUPLES[::-1]),
        (list(TUPLES), [(1, 11)]),
    ],
)
def test_what_are_no_rows_or_equal_is_left_to_pytest(left: Any, right: Any) -> None:
    assert explained(left, right) is None


def test_a_failed_test_shows_the_cells_that_differ_however_verbose(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        test_it="""
        ORDERS = [{"id": i, "total": 10 * i} for i in range(2000)]

        def test_rows():
            assert ORDERS == [{**row, "total": 141 if row["id"] == 14 else row["total"]}
                              for row in ORDERS]

        def test_counts():
            assert {"orders": 3} == {"orders": 4, "lines": 1}

        def test_others():
            assert [1] == [2]

        class Odd:
            def __hash__(self):
                return 1
            def __eq__(self, other):
                raise RuntimeError("odd")

        def test_values_that_cannot_be_compared():
            assert [{"b": Odd()}, {"b": Odd()}] == [{"b": Odd()}]
            """
    )

    result = run_session(pytester.path, "-vv", "-p", "no:cacheprovider")

    result.stdout.fnmatch_lines(
        [
            "E       assert 1 row differs",
            "E         *id=14: total 140 != 141",
            "E       assert 2 counts differ",
            "E         *orders: 3 != 4",
            "E         *lines: missing",
            "E       assert [[]1] == [[]2]",
            "E         At index 0 diff: 1 != 2",
            "E       AssertionError: assert [[]{'b': *Odd object*",
        ]
    )
    assert len(result.outlines) < 100


def test_rows_of_a_run_are_told_by_their_table_and_its_key(dlt_run: DltRun) -> None:
    orders = [{"n": 1, "id": 7, "total": 140}, {"n": 1, "id": 8, "total": 10}]
    run = dlt_run(orders, table_name="orders", primary_key="id")
    expected = [{"n": 1, "id": 7, "total": 141}, {"n": 1, "id": 9, "total": 10}]

    rows = run.rows("orders")
    assert (rows.table, rows.key, rows[:1].key) == ("orders", ("id",), ("id",))
    assert (explained(rows, expected) or [])[1:] == [
        "orders id=7: total 140 != 141",
        "orders: 1 row missing: id=9",
        "orders: 1 row too many: id=8",
    ]
    assert run.rows("orders", columns=["n"]).key == ()
    tuples = run.rows("orders", "id", "total")
    assert explained(tuples, [(8, 10), (7, 141)]) == [
        "orders: 1 row differs",
        "orders id=7: total 140 != 141",
    ]
    assert run.rows("orders", "n", "total").key == ()
