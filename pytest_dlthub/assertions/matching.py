"""Pairs rows of two sides: equal rows, rows contained in others, and rows with the same key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from pytest_dlthub.assertions.equality import paired

Row = Mapping[str, Any]
Same = Callable[[Any, Any], bool]

SAMPLE = 200
"""How many rows with the same key, or of a column, to look at before giving up."""


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal; false if they cannot be compared."""
    try:
        return one is other or bool(one == other)
    except Exception:  # of any class: it is the code of the value
        return False


def unequal(left: Sequence[Row], right: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of both sides without those that are equal and at the same index."""
    count = min(len(left), len(right))
    pairs = [
        (one, other) for one, other in zip(left, right, strict=False) if not is_same(one, other)
    ]
    return (
        [*(one for one, _ in pairs), *left[count:]],
        [*(other for _, other in pairs), *right[count:]],
    )


def without_equal(
    left: list[Row],
    right: list[Row],
    left_identity: Callable[[Row], Hashable],
    right_identity: Callable[[Row], Hashable],
) -> tuple[list[Row], list[Row]]:
    """Return the rows of both sides without those that are equal."""
    there = Counter(map(right_identity, right))
    alone, met = [], Counter[Hashable]()
    for row in left:
        known = left_identity(row)
        if met[known] < there[known]:
            met[known] += 1
        else:
            alone.append(row)
    others = []
    for row in right:
        known = right_identity(row)
        if not met[known]:
            others.append(row)
        else:
            met[known] -= 1
    return alone, others


def without_partners(left: list[Any], right: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the rows of both sides that have no partner after pairing as many as possible.

    Cells and rows may be matchers.
    """
    return unpaired(left, right, paired(left, right, same=is_same))


def unpaired(
    left: list[Any], right: list[Any], pairs: Mapping[int, int]
) -> tuple[list[Any], list[Any]]:
    """Return the rows of both sides that have no partner; `pairs` maps left to right indexes."""
    taken = {*pairs.values()}
    return (
        [row for i, row in enumerate(left) if i not in pairs],
        [row for j, row in enumerate(right) if j not in taken],
    )


def without_contained(left: list[Row], right: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of both sides without pairs in which the left row contains the right one."""
    by_columns: dict[frozenset[str], list[Row]] = {}
    for row in right:
        by_columns.setdefault(frozenset(row), []).append(row)
    missing: list[Row] = []
    # rows with more columns first: fewer left rows contain them
    for columns in sorted(by_columns, key=len, reverse=True):

        def part(row: Row, columns: frozenset[str] = columns) -> Hashable:
            return frozen({name: row[name] for name in columns if name in row})

        left, alone = without_equal(left, by_columns[columns], part, frozen)
        missing += alone
    return left, missing


def frozen(value: Any) -> Hashable:
    """Return a hashable value that is equal for equal values."""
    if isinstance(value, Mapping):
        return dict, frozenset((name, frozen(cell)) for name, cell in value.items())
    if isinstance(value, list | tuple):
        return list if isinstance(value, list) else tuple, *map(frozen, value)
    try:
        hash(value)
    except TypeError:
        # unhashable: let it equal nothing
        return object()
    return value  # type: ignore[no-any-return]  # it has a hash


def usable(key: str | Sequence[str] | None, left: list[Row], right: list[Row]) -> tuple[str, ...]:
    """Return the columns of a key; empty if rows lack it, or if no key is on both sides."""
    columns = (key,) if isinstance(key, str) else tuple(key or ())
    if not columns:
        return ()
    identity = itemgetter(*columns)
    try:
        ours, theirs = set(map(identity, left)), set(map(identity, right))
    except (KeyError, TypeError):
        return ()
    return columns if not ours or not theirs or ours & theirs else ()


def likely_key(left: list[Row], right: list[Row]) -> tuple[str, ...]:
    """Return the column that is unique on each side, and has the most values in common."""
    if not left and not right:
        return ()
    best: tuple[int, bool, tuple[str, ...]] = (0, False, ())
    for name in (left or right)[0]:
        identity = itemgetter(name)
        try:
            if any(len(set(map(identity, s[:SAMPLE]))) < len(s[:SAMPLE]) for s in (left, right)):
                continue
            ours, theirs = set(map(identity, left)), set(map(identity, right))
        except (KeyError, TypeError):
            continue
        if len(ours) < len(left) or len(theirs) < len(right):
            continue
        shared = len(ours & theirs) if left and right else 1
        found = (shared, str(name).lower().endswith("id"), (name,))
        if shared and found[:2] > best[:2]:
            best = found
    return best[2]
