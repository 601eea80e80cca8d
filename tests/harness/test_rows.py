"""`Rows` are a list that is always the same, and equal to the same rows in any order."""

from __future__ import annotations

import copy
import datetime
import itertools
import math
import pickle
import random
import time
from decimal import Decimal
from typing import Any
from unittest.mock import ANY

import pytest

from pytest_dlthub import Rows

TWO = [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": []}]


class SmallerThan:
    """Equal to what is smaller, as members of dirty-equals are."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and other < self.limit


def test_rows_are_equal_to_the_same_rows_in_any_order() -> None:
    rows = Rows(TWO)

    assert rows == TWO[::-1]
    assert TWO[::-1] == rows
    assert rows == Rows(TWO[::-1])
    assert not rows != TWO[::-1]  # noqa: SIM202
    assert not TWO[::-1] != rows  # noqa: SIM202
    assert rows.in_order == TWO
    assert rows.in_order != TWO[::-1]
    assert sorted(rows, key=lambda row: -row["id"]) == TWO[::-1]
    assert sorted(rows, key=lambda row: -row["id"]) != TWO


@pytest.mark.parametrize(
    "other",
    [
        TWO[:1],
        [TWO[0], TWO[0]],
        [*TWO, TWO[0]],
        [TWO[0], {"id": 2, "tags": ["a"]}],
        [TWO[0], {"id": 2}],
        [TWO[0], {"id": "2", "tags": []}],
        [TWO[0], {"id": 2, "tags": ()}],
        [],
    ],
)
def test_rows_differ_from_other_rows(other: list[Any]) -> None:
    rows = Rows(TWO)

    assert rows != other
    assert other != rows
    assert not rows == other  # noqa: SIM201
    assert not other == rows  # noqa: SIM201
    assert rows != Rows(other)


def test_rows_are_counted() -> None:
    assert Rows([(1,), (1,), (2,)]) == [(2,), (1,), (1,)]
    assert Rows([(1,), (1,), (2,)]) != [(2,), (2,), (1,)]


def test_rows_differ_from_what_is_no_list() -> None:
    assert Rows(TWO) != tuple(TWO)
    assert Rows([]) != None  # noqa: E711
    assert Rows([(1,)]) != [[1]]


def test_cells_are_compared_as_python_does() -> None:
    moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    elsewhere = moment.astimezone(datetime.timezone(datetime.timedelta(hours=3)))
    cells = [1, 2.0, Decimal("3.50"), True, moment, b"x", {"a": [1]}, None, math.nan]

    assert Rows((cell,) for cell in cells) == [
        (math.nan,), (None,), ({"a": [1.0]},), (b"x",), (elsewhere,), (1,), (3.5,), (2,), (True,)
    ]  # fmt: skip
    # as in lists: NaN equals itself alone
    assert Rows([(float("nan"),)]) != [(float("nan"),)]
    assert Rows([(moment,)]) != [(moment.replace(tzinfo=None),)]
    assert Rows([(Decimal("NaN"),), (Decimal("sNaN").copy_abs(),)]) != [(0,), (1,)]


def test_cells_that_say_what_they_equal_find_their_row() -> None:
    rows = Rows([{"id": 1, "price": 0.1 + 0.2}, {"id": 2, "price": 7.0}])

    assert rows == [{"id": 2, "price": 7}, {"id": 1, "price": pytest.approx(0.3)}]
    assert rows == [{"id": ANY, "price": 7}, {"id": 1, "price": ANY}]
    assert rows == [ANY, {"id": 1, "price": ANY}]
    assert [{"id": 2, "price": pytest.approx(7)}, ANY] == rows
    assert rows != [{"id": 2, "price": pytest.approx(0.3)}, {"id": 1, "price": 7}]
    assert rows != [{"id": 1, "price": ANY}, {"id": 1, "price": ANY}]
    # the one that takes both leaves the other its only row
    assert Rows([(1,), (2,)]) == [(SmallerThan(3),), (SmallerThan(2),)]
    assert Rows([(1,), (2,)]) == [(SmallerThan(2),), (SmallerThan(3),)]
    assert Rows([(1,), (2,)]) != [(SmallerThan(2),), (SmallerThan(2),)]
    assert Rows([(SmallerThan(2),), (1,)]) == [(SmallerThan(9),), (1,)]


def test_rows_are_equal_where_a_permutation_is() -> None:
    draw = random.Random(7)
    cells: list[Any] = [0, 1, 1.0, True, None, "a", math.nan, [1], (1,), {"x": 1}, ANY]
    cells += [SmallerThan(1), SmallerThan(2)]

    def rows() -> list[Any]:
        kinds: list[Any] = [
            lambda: {"a": draw.choice(cells), "b": draw.choice(cells[:4])},
            lambda: {draw.choice("ab"): draw.choice(cells)},
            lambda: (draw.choice(cells),),
            lambda: ANY,
        ]
        return [draw.choices(kinds, [6, 2, 3, 1])[0]() for _ in range(draw.randint(0, 3))]

    found = []
    for _ in range(3000):
        left, right = rows(), rows()
        if draw.random() < 0.5:
            right = draw.sample(left, len(left))
            right = [row if draw.random() < 0.7 else ANY for row in right]
        expected = any(list(order) == right for order in itertools.permutations(left))
        assert (Rows(left) == right) is expected, (left, right)
        found.append(expected)
    # as many that are equal as are not
    assert 500 < sum(found) < 2500


def test_many_rows_are_compared_in_time_that_grows_with_them() -> None:
    def rows_of(price: Any) -> list[dict[str, Any]]:
        return [{"id": i, "tags": [i % 7], "price": price(i)} for i in range(10_000)]

    rows, mixed, approximate = Rows(rows_of(float)), rows_of(float), rows_of(pytest.approx)
    random.Random(1).shuffle(mixed)
    random.Random(2).shuffle(approximate)

    began = time.process_time()
    assert rows == mixed
    assert rows == approximate
    mixed[7]["tags"] = [9]
    assert rows != mixed
    # comparing each with each would take minutes
    assert time.process_time() - began < 8


def test_rows_are_lists_otherwise() -> None:
    rows = Rows(TWO)

    assert repr(rows) == repr(TWO)
    assert f"{rows}" == str(TWO)
    assert isinstance(rows[:1], Rows)
    assert rows[::-1].in_order == TWO[::-1]
    assert rows[0] is TWO[0]
    more = [{"id": 3, "tags": []}]
    for both in (rows + more, more + rows, rows.copy() + Rows(more)):
        assert isinstance(both, Rows)
        assert both == [TWO[1], *more, TWO[0]]
    assert (more + rows).in_order == [*more, *TWO]
    kept = Rows([(1, 2)], table="orders", key=["id"], names=["id", "n"])
    for same in (
        kept[:],
        kept + kept[1:],
        kept.copy(),
        copy.copy(kept),
        pickle.loads(pickle.dumps(kept)),
    ):
        assert (same.table, same.key, same.names) == ("orders", ("id",), ("id", "n"))
    assert isinstance(copy.deepcopy(rows), Rows)
    assert pickle.loads(pickle.dumps(rows)) == rows
    with pytest.raises(TypeError, match="unhashable"):
        hash(rows)
