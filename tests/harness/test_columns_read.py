"""Which columns of tables a query, a comparison or a call of `rows` looks at (`--dlt-cov`).

A column that is said to be looked at and was not is a green that lies: in doubt it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest

from pytest_dlthub.data_coverage import active_recorder, reads
from pytest_dlthub.data_coverage.reads import Read, of_query

TABLES = {"orders": ["id", "total", "customer"], "customers": ["id", "name"]}
ALL_OF_ORDERS = {"orders.id", "orders.total", "orders.customer"}


def told(columns: reads.Columns) -> set[str]:
    return {f"{table}.{column}" for table, column in columns}


@pytest.mark.parametrize(
    ("query", "named", "fetched"),
    [
        ("select id from orders", {"orders.id"}, set()),
        ("select id from raw.Orders", {"orders.id"}, set()),
        ("select count(*) from orders where total > 1", {"orders.total"}, set()),
        ("select * from orders", set(), ALL_OF_ORDERS),
        ("select * from orders order by id", {"orders.id"}, {"orders.total", "orders.customer"}),
        ("(select * from orders) union all select * from orders", set(), ALL_OF_ORDERS),
        ("select id from (select * from orders)", {"orders.id"}, set()),
        ("with big as (select * from orders) select b.total from big b", {"orders.total"}, set()),
        (
            "select c.name from orders o join customers c on o.customer = c.id",
            {"customers.name", "customers.id", "orders.customer"},
            set(),
        ),
        ("select _dlt_id, id from orders", {"orders.id"}, set()),
        # rows as values, and columns by a pattern
        ("select orders from orders", set(), ALL_OF_ORDERS),
        ("select columns('t.*') from orders", set(), ALL_OF_ORDERS),
        # what is no query, and may read
        ("copy orders to 'orders.csv'", set(), ALL_OF_ORDERS),
        ("summarize orders", set(), ALL_OF_ORDERS),
        ("create table mine as select total from orders", set(), ALL_OF_ORDERS),
        # what changes a table does not hand its rows to the test
        ("delete from orders where id = 1", set(), set()),
        ("drop table orders", set(), set()),
        ("update orders set total = 1", set(), set()),
        # of no table that is known, and not understood
        ("select 1", set(), set()),
        ("select id from other", set(), set()),
        ("select ((( from orders", set(), ALL_OF_ORDERS),
    ],
)
def test_a_query_reads_what_it_names(query: str, named: set[str], fetched: set[str]) -> None:
    found = of_query(query, "duckdb", TABLES)

    assert (told(found.named), told(found.fetched)) == (named, fetched)


class Taken:
    """In place of the recorder of a session: keeps what was looked at."""

    def __init__(self) -> None:
        self.looks: list[tuple[str, set[str], bool]] = []
        self.connections: list[tuple[str | None, str]] = []

    def looked(self, dataset_name: str, columns: reads.Columns, is_known: bool) -> None:
        self.looks.append((dataset_name, told(columns), is_known))

    def connection_taken(self, dataset_name: str | None, database: str) -> None:
        self.connections.append((dataset_name, database))

    @property
    def known(self) -> set[str]:
        return {name for _, names, is_known in self.looks if is_known for name in names}

    @property
    def open(self) -> set[str]:
        return {name for _, names, is_known in self.looks if not is_known for name in names}


@pytest.fixture
def taken() -> Iterator[Taken]:
    """What is taken down in a test of this file, in place of the coverage of this session."""
    found = Taken()
    with active_recorder.recorded_by(found):  # type: ignore[arg-type]  # all that reads ask for
        yield found


class Rows(list[Any]):
    """Rows that know where they come from."""

    origin: Any = None
    names: tuple[str, ...] = ()


def rows_of(*rows: Any, names: tuple[str, ...] = ()) -> Rows:
    found = Rows(rows)
    found.origin, found.names = reads.Origin("shop", "orders"), names
    return found


@pytest.mark.parametrize(
    ("names", "other", "known"),
    [
        ((), {"id": 1, "total": ANY}, {"orders.id"}),
        ((), {"id": ANY}, set()),
        (("id", "total"), (1, ANY), {"orders.id"}),
        (("id", "total"), (1, 2), {"orders.id", "orders.total"}),
        (
            (),
            {"id": 1, "lines": [{"sku": 2, "at": ANY}]},
            {"orders.id", "orders.lines", "orders__lines.sku"},
        ),
        ((), {"id": ANY, "tags": ["a", ANY]}, {"orders.tags", "orders__tags.value"}),
        ((), {"id": ANY, "tags": [ANY]}, {"orders.tags"}),
    ],
)
def test_a_comparison_looks_at_what_has_one_value_alone(
    taken: Taken, names: tuple[str, ...], other: Any, known: set[str]
) -> None:
    reads.compared(rows_of({"id": 1}, names=names), [other])

    assert (taken.known, taken.open) == (known, set())


def test_a_comparison_of_no_rows_or_of_rows_of_no_table_looks_at_nothing(taken: Taken) -> None:
    reads.compared(rows_of(), [{"id": 1}])
    reads.compared([{"id": 1}], [{"id": 1}])

    assert taken.looks == []


@pytest.mark.parametrize(
    ("positional", "named", "known", "is_open"),
    [
        ((), {}, set(), {"orders.id", "orders.lines", "orders__lines.sku"}),
        (("id",), {}, {"orders.id"}, set()),
        ((), {"columns": ["id"]}, {"orders.id"}, set()),
        (("id",), {"where": {"total": 1}}, {"orders.id", "orders.total"}, set()),
        (("id",), {"where": ("total", 1)}, {"orders.id", "orders.total"}, set()),
        (("id",), {"order_by": "total"}, {"orders.id", "orders.total"}, set()),
        (("id",), {"order_by": ("total", "desc")}, {"orders.id", "orders.total"}, set()),
        (
            ("id",),
            {"order_by": ["at", ("total", "desc")]},
            {"orders.id", "orders.at", "orders.total"},
            set(),
        ),
    ],
)
def test_rows_of_a_table_look_at_the_columns_that_the_call_names(
    taken: Taken,
    positional: tuple[str, ...],
    named: dict[str, Any],
    known: set[str],
    is_open: set[str],
) -> None:
    reader = SimpleNamespace(place=("shop", "orders"))
    suppressed: list[bool] = []

    def read(*_: Any, **__: Any) -> Rows:
        # the harness reads keys and parents, too
        suppressed.append(reads.is_suppressed())
        return rows_of({"id": 1, "lines": [{"sku": 2}]})

    rows = reads.of_rows_of_table(read)(reader, positional, **named)

    assert rows.origin == reads.Origin("shop", "orders")
    assert (taken.known, taken.open) == (known, is_open)
    assert suppressed == [True]


def test_rows_that_are_nested_leave_open_what_any_of_them_has(taken: Taken) -> None:
    def read(*_: Any, **__: Any) -> Rows:
        return rows_of({"id": 1, "lines": []}, {"id": 2, "lines": [{"sku": 2}]})

    reads.of_rows_of_table(read)(SimpleNamespace(place=("shop", "orders")), (), nested=True)

    assert taken.open == {"orders.id", "orders.lines", "orders__lines.sku"}


def test_what_an_assertion_looks_at_counts_if_it_holds(taken: Taken) -> None:
    @reads.looking
    def equal(rows: Rows, other: Any, is_equal: bool) -> None:
        reads.compared(rows, [other])
        assert taken.looks == [], "it may still fail"
        assert is_equal

    with pytest.raises(AssertionError):
        equal(rows_of({"id": 1}), {"id": 2}, False)
    assert taken.looks == []

    equal(rows_of({"id": 1}), {"id": 1}, True)
    assert taken.known == {"orders.id"}


def test_an_assertion_within_another_counts_with_the_outer_one(taken: Taken) -> None:
    @reads.looking
    def inner() -> None:
        reads.compared(rows_of({"id": 1}), [{"id": 1}])

    @reads.looking
    def outer(holds: bool) -> None:
        inner()
        assert holds

    with pytest.raises(AssertionError):
        outer(False)
    assert taken.looks == []
    outer(True)
    assert taken.known == {"orders.id"}


def test_what_the_harness_reads_for_itself_does_not_count(taken: Taken) -> None:
    @reads.unseen
    def asserted() -> None:
        assert reads.is_suppressed()
        reads.connection_taken("shop")

    asserted()
    assert taken.connections == []
    reads.connection_taken("shop")
    assert taken.connections == [("shop", "")]
    assert not reads.is_suppressed()


def test_what_the_harness_reads_of_a_table_or_relation_stays_as_it_is(taken: Taken) -> None:
    rows = rows_of({"id": 1})
    rows.origin = None
    with reads.suppressed():
        assert reads.of_rows_of_table(lambda _: rows)(None) is rows
        assert reads.of_rows_of_relation(lambda _: rows)(None) is rows  # type: ignore[arg-type]

    assert (rows.origin, taken.looks) == (None, [])


def test_rows_of_a_relation_count_as_the_relation_says() -> None:
    read: list[Any] = []
    recorder: Any = SimpleNamespace(
        relation_read=read.append, origin_of=lambda relation, table: (relation, table)
    )
    rows = rows_of({"id": 1})
    rows.table = "orders"  # type: ignore[attr-defined]

    with active_recorder.recorded_by(recorder):
        told_of: Any = reads.of_rows_of_relation(lambda _: rows)("relation")  # type: ignore[arg-type]
    assert told_of.origin == ("relation", "orders")
    assert read == ["relation"]


def test_a_read_of_nothing_is_empty() -> None:
    assert of_query("select id from orders", "duckdb", {}) == Read()
