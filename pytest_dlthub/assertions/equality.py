"""Rows that are equal to the same rows in any order."""

from __future__ import annotations

import datetime
import operator
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, SupportsIndex, overload
from uuid import UUID

from pytest_dlthub.data_coverage import reads


class Rows(list[Any]):
    """Rows of a table: a list in a stable order.

    A table has no order, so two `Rows`, or `Rows` and a list, are equal if they hold the same rows
    equally often, in any order. Python compares the cells; `pytest.approx`, `unittest.mock.ANY` and
    the like may stand for cells or rows. `sorted(rows, key=...)` is a plain list, and a slice is
    `Rows`.

    Attributes:
        table: The table of the rows; None if they are not from one table.
        key: The columns of its key, by which a failed comparison matches rows; empty if none.
        names: The columns of the rows if these are tuples; empty if they are mappings.
    """

    def __init__(
        self,
        rows: Iterable[Any] = (),
        *,
        table: str | None = None,
        key: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(rows)
        self.table = table
        self.key = tuple(key)
        self.names = tuple(names)
        # records which columns the test looks at; mostly None
        self.origin: reads.Origin | None = None

    @property
    def in_order(self) -> list[Any]:
        """The same rows as a plain list, for comparisons where the order matters."""
        return list(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list):
            if hasattr(other, "__arrow_c_stream__"):
                # pandas would compare cell by cell, and an Arrow table never equals a list
                raise TypeError(
                    f"Rows are not compared with a {type(other).__name__} by ==; "
                    "use assert_rows(rows, frame)"
                )
            return NotImplemented
        if len(self) != len(other):
            return False
        if self.origin is not None:
            reads.compared(self, other)
        return list.__eq__(self, other) or _are_same(self, other)

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    # lists have none either
    __hash__ = None

    def __add__(self, other: list[Any]) -> Rows:
        return self._with(super().__add__(other))

    def __radd__(self, other: list[Any]) -> Rows:
        return self._with([*other, *self])

    def copy(self) -> Rows:
        """Return the same rows as other `Rows`."""
        return self._with(self)

    def _with(self, rows: Iterable[Any]) -> Rows:
        made = Rows(rows, table=self.table, key=self.key, names=self.names)
        made.origin = self.origin
        return made

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        if isinstance(index, slice):
            return self._with(found)
        return found


# marks a value with an `__eq__` of its own
_OWN_WAY = object()
_PLAIN = (
    type(None), int, float, Decimal, str, bytes, UUID,
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
)  # fmt: skip
_SIMPLE = frozenset({type(None), bool, int, float, str, bytes, datetime.datetime, datetime.date})
_KINDS: dict[type, bool] = {}


def _are_same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Tell whether two lists of the same length hold equal rows."""
    left_keys, right_keys = list(map(_key, left)), list(map(_key, right))
    left_own = [i for i, key in enumerate(left_keys) if key is _OWN_WAY]
    right_own = [i for i, key in enumerate(right_keys) if key is _OWN_WAY]
    if left_own and right_own:
        return _can_be_paired(left, right)
    if left_own:
        left, right, left_keys, right_keys = right, left, right_keys, left_keys
        right_own = left_own
    # a plain row equals only its own kind, so that any of the equal rows will do for it
    wanted = Counter(key for key in right_keys if key is not _OWN_WAY)
    rest = []
    for row, key in zip(left, left_keys, strict=True):
        if wanted[key] > 0:
            wanted[key] -= 1
        else:
            rest.append(row)
    return not any(wanted.values()) and _can_be_paired([right[i] for i in right_own], rest)


def _key(value: Any) -> Any:
    """Return a key that equal values share; `_OWN_WAY` for a value with an `__eq__` of its own."""
    kind = type(value)
    if kind is dict:
        order = _in_order(tuple(value))
        if _SIMPLE.issuperset(map(type, value.values())):
            # the fast way, for most rows
            return kind, order, tuple(map(value.__getitem__, order))
        keys = tuple(_key(value[name]) for name in order)
        return _OWN_WAY if any(key is _OWN_WAY for key in keys) else (kind, order, keys)
    if kind is list or kind is tuple:
        keys = tuple(map(_key, value))
        return _OWN_WAY if any(key is _OWN_WAY for key in keys) else (kind, keys)
    if not _is_plain(kind) or (kind is Decimal and value.is_snan()):
        return _OWN_WAY
    return value


def says_itself(value: Any) -> bool:
    """Tell whether a value may equal values of another kind, as matchers do."""
    return _key(value) is _OWN_WAY


@lru_cache
def _in_order(names: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the keys of a mapping in an order that is the same for equal mappings."""
    if all(isinstance(name, str) for name in names):
        return tuple(sorted(names))
    # equal keys have equal hashes
    return tuple(sorted(names, key=lambda name: (hash(name), str(name))))


def _is_plain(kind: type) -> bool:
    if (known := _KINDS.get(kind)) is None:
        # an enum that is also a str equals its text, but has another hash
        known = _KINDS[kind] = any(
            issubclass(kind, plain) and (kind.__eq__, kind.__hash__) == _ways_of(plain)
            for plain in _PLAIN
        )
    return known


def _ways_of(kind: Any) -> tuple[Any, Any]:
    return kind.__eq__, kind.__hash__


def _can_be_paired(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Tell whether each row of `left` can have an equal row of `right` of its own."""
    return len(left) == len(right) and len(paired(left, right, all_or_none=True)) == len(left)


def paired(
    left: Sequence[Any],
    right: Sequence[Any],
    *,
    same: Callable[[Any, Any], Any] = operator.eq,
    all_or_none: bool = False,
) -> dict[int, int]:
    """Pair rows of `left` with equal rows of `right`, as many as possible.

    Args:
        left: Rows, or matchers for rows.
        right: Rows, or matchers for rows.
        same: Tells whether two rows are equal.
        all_or_none: Stop if a row can have no partner.

    Returns:
        For each index in `left` the index of its partner in `right`.
    """
    candidates_of = _Candidates(right)
    owners: dict[int, int] = {}
    choices: dict[int, int] = {}
    for new, _ in enumerate(left):
        # a taken row becomes free if its owner can take another one
        asked_by: dict[int, int] = {}
        asking, free = deque([new]), None
        while asking and free is None:
            i = asking.popleft()
            for j in candidates_of(left[i]):
                if j in asked_by or not same(left[i], right[j]):
                    continue
                asked_by[j] = i
                if j not in owners:
                    free = j
                    break
                asking.append(owners[j])
        if free is None:
            if all_or_none:
                return {}
            continue
        while True:
            owner = asked_by[free]
            before = choices.get(owner)
            owners[free], choices[owner] = owner, free
            if before is None:
                break
            free = before
    return choices


class _Candidates:
    """Finds the rows that a row may equal, by its plain cells."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows
        self._indexes: dict[Any, tuple[dict[Any, list[int]], list[int]]] = {}

    def __call__(self, row: Any) -> Sequence[int]:
        """Return the indexes of the rows that may equal `row`."""
        names = _names(row)
        keys = {name: _key(row[name]) for name in names}
        plain = tuple(name for name in names if keys[name] is not _OWN_WAY)
        if not plain:
            return range(len(self._rows))
        shape = (type(row), plain)
        if shape not in self._indexes:
            self._indexes[shape] = self._index(plain)
        same, unsure = self._indexes[shape]
        return [*same.get(tuple(keys[name] for name in plain), ()), *unsure]

    def _index(self, names: tuple[Any, ...]) -> tuple[dict[Any, list[int]], list[int]]:
        same: dict[Any, list[int]] = {}
        unsure: list[int] = []
        for i, row in enumerate(self._rows):
            own: Callable[[Any], bool] = set(_names(row)).__contains__
            cells = tuple(_key(row[name]) if own(name) else None for name in names)
            if not _names(row) or any(cell is _OWN_WAY for cell in cells):
                unsure.append(i)
            else:
                same.setdefault(cells, []).append(i)
        return same, unsure


def _names(row: Any) -> Sequence[Any]:
    """Return the columns of a row; none for a matcher that stands for a whole row."""
    if type(row) is dict:
        return list(row)
    return range(len(row)) if type(row) in (tuple, list) else ()
