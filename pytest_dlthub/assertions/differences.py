"""Explains in a few lines how rows or row counts differ from the expected ones.

It matches rows by key. The time grows with the number of rows, the length of the text is limited.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from pytest_dlthub.assertions.equality import Rows, says_itself
from pytest_dlthub.assertions.matching import (
    SAMPLE,
    Row,
    Same,
    frozen,
    is_same,
    likely_key,
    unequal,
    unpaired,
    usable,
    without_contained,
    without_equal,
    without_partners,
)

_ROWS, _CELLS, _LABELS, _WIDTH = 10, 5, 10, 60
_PAIRS = 40_000
_NONE = "; there are no rows"


class RowDifferences:
    """The differences between actual and expected rows; false if there are none."""

    def __init__(
        self,
        actual: Sequence[Row],
        expected: Sequence[Row],
        *,
        table: str | None = None,
        key: Sequence[str] | None = None,
        subset: bool = False,
        same: Same = is_same,
    ) -> None:
        """Compare the rows, in any order.

        Args:
            actual: The rows of the test.
            expected: The rows that it expects.
            table: The name of their table.
            key: The columns that identify a row; None to choose the best one.
            subset: Accept rows and columns that are not expected.
            same: Tells whether two cells are the same.
        """
        self._table, self._same, self._subset = table, same, subset
        self._changed: list[str] = []
        self._changed_count = 0
        self._columns: list[str] = []
        self._one_sided: set[str] = set()
        left, right = unequal(actual, expected)
        if subset:
            left, right = without_contained(left, right)
        if left and right:
            self._compare_columns(set().union(*actual), set().union(*expected))
        used = usable(key, left, right) or likely_key(left, right)
        if not subset and len(left) * len(right) <= _PAIRS:
            left, right = without_partners(left, right)
            if any(says_itself(row[name]) for row in (*left, *right) for name in used):
                # such a cell equals several values, and so identifies no row
                used = ()
        pairs, extra, missing = self._matched(left, right, used)
        for one, other in pairs:
            self._compare(one, other, used)
        self._alone = [("missing", missing), ("too many", [] if subset else extra)]
        self._key = used

    def __bool__(self) -> bool:
        return bool(self._columns or self._changed_count or any(rows for _, rows in self._alone))

    @property
    def summary(self) -> str:
        """One line: how many rows differ."""
        kinds = [*self._columns]
        if count := self._changed_count:
            kinds.append(f"{rows_counted(count)} {'differs' if count == 1 else 'differ'}")
        kinds += [f"{rows_counted(len(rows))} {words}" for words, rows in self._alone if rows]
        return self._named(", ".join(kinds))

    @property
    def lines(self) -> list[str]:
        """The differences, one per line."""
        lines = [self._named(text) for text in self._columns] + self._changed
        if (more := self._changed_count - len(self._changed)) > 0:
            lines.append(self._named(f"rows that differ besides: {more}"))
        for words, rows in self._alone:
            if rows:
                listed = listing((label(row, self._key) for row in rows), len(rows))
                lines.append(self._named(f"{rows_counted(len(rows))} {words}: {listed}"))
        return lines

    def _named(self, text: str) -> str:
        return text if self._table is None else f"{self._table}: {text}"

    def _compare_columns(self, actual: set[str], expected: set[str]) -> None:
        for words, names in (("missing", expected - actual), ("too many", actual - expected)):
            self._one_sided |= names
            if names and not (self._subset and words == "too many"):
                noun = "column" if len(names) == 1 else "columns"
                listed = listing((str(name) for name in sorted(names, key=str)), len(names))
                self._columns.append(f"{noun} {words}: {listed}")

    def _compare(self, one: Row, other: Row, key: Sequence[str]) -> None:
        cells = list(islice(self._cells(one, other), _CELLS))
        if not cells:
            return
        self._changed_count += 1
        if len(self._changed) == _ROWS:
            return
        if (more := sum(1 for _ in self._cells(one, other)) - len(cells)) > 0:
            cells.append(f"and {more} more")
        alike = (name for name in one if name in other and self._same(one[name], other[name]))
        where = label(one, key or tuple(islice(alike, 3)))
        name = "" if self._table is None else f"{self._table} "
        self._changed.append(f"{name}{where}: {', '.join(cells)}")

    def _are_same(self, one: Row, other: Row) -> bool:
        return is_same(one, other) or not any(self._cells(one, other))

    def _cells(self, one: Row, other: Row) -> Iterator[str]:
        for name in dict.fromkeys((*one, *other)):
            if name in self._one_sided or (self._subset and name not in other):
                continue
            if name not in one:
                yield f"{name} missing"
            elif name not in other:
                yield f"{name} too many"
            else:
                yield from _leaves(str(name), one[name], other[name], self._same)

    def _matched(
        self, left: list[Row], right: list[Row], key: Sequence[str]
    ) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
        """Return the pairs of rows, and the rows of each side that have no partner."""
        if not key:
            left, right = without_equal(left, right, frozen, frozen)
            return self._best_pairs(left, right)
        identity = itemgetter(*key)
        waiting: dict[Any, list[Row]] = {}
        for row in right:
            waiting.setdefault(identity(row), []).append(row)
        pairs, alone, later = [], [], []
        for row in left:
            found = waiting.get(identity(row))
            if not found:
                alone.append(row)
                continue
            # among rows with the same key, first pair the equal ones
            places = range(len(found))[:SAMPLE]
            equal = next((i for i in places if self._are_same(row, found[i])), None)
            if equal is None:
                later.append(row)
            else:
                del found[equal]
        for row in later:
            if found := waiting[identity(row)]:
                pairs.append((row, found.pop(0)))
            else:
                alone.append(row)
        return pairs, alone, [row for rows in waiting.values() for row in rows]

    def _best_pairs(
        self, left: list[Row], right: list[Row]
    ) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
        if len(left) * len(right) > _PAIRS:
            return [], left, right
        scores = []
        for i, one in enumerate(left):
            for j, other in enumerate(right):
                names = other.keys() if self._subset else {*one, *other} - self._one_sided
                alike = sum(n in one and n in other and self._same(one[n], other[n]) for n in names)
                if alike and 2 * alike >= len(names):
                    scores.append((len(names) - alike, i, j))
        pairs: dict[int, int] = {}
        for _, i, j in sorted(scores):
            if i not in pairs and j not in pairs.values():
                pairs[i] = j
        alone, others = unpaired(left, right, pairs)
        return [(left[i], right[j]) for i, j in sorted(pairs.items())], alone, others


def explained(left: object, right: object) -> list[str] | None:
    """Explain to pytest how two lists of rows, or two mappings of row counts, differ.

    Returns:
        The lines for `pytest_assertrepr_compare`; None to leave it to pytest and other plugins.
    """
    if isinstance(left, dict) and isinstance(right, dict):
        return _counts_explained(left, right)
    if not (isinstance(left, list) and isinstance(right, list)):
        return None
    if isinstance(left, Rows) or isinstance(right, Rows):
        named = both_as_mappings(left, right)
        if not _are_rows(*named):
            return _any_explained(left, right)
        left, right = named
    elif not _are_rows(left, right):
        return None
    tables = [getattr(rows, "table", None) for rows in (left, right)]
    keys = [getattr(rows, "key", None) for rows in (left, right)]
    # rows from a table are the actual ones, on either side
    is_turned = tables[0] is None and tables[1] is not None
    actual, expected = (right, left) if is_turned else (left, right)
    table = next((name for name in tables if isinstance(name, str)), None)
    found = RowDifferences(actual, expected, table=table, key=next(filter(None, keys), None))
    if found:
        return [found.summary + ("" if actual else _NONE), *found.lines]
    for i, (one, other) in enumerate(zip(left, right, strict=False)):
        if type(left) is type(right) is list and not is_same(one, other):
            where = f"row {i}: {shortened(one)} != {shortened(other)}"
            return ["the same rows in another order", where]
    return None


def both_as_mappings(left: Any, right: Any) -> tuple[list[Any], list[Any]]:
    """Return rows of both sides as mappings if one side knows the columns of its tuples."""
    names = next(filter(None, (getattr(rows, "names", ()) for rows in (left, right))), ())
    return _as_mappings(left, names), _as_mappings(right, names)


def _as_mappings(rows: Any, names: Sequence[str]) -> list[Any]:
    """Return rows that are tuples of these columns as mappings, and others unchanged."""
    if not names or not all(isinstance(row, tuple) and len(row) == len(names) for row in rows):
        found: list[Any] = rows
        return found
    found = [dict(zip(names, row, strict=True)) for row in rows]
    if not isinstance(rows, Rows):
        return found
    made = Rows(found, table=rows.table, key=rows.key)
    made.origin = rows.origin
    return made


def _any_explained(left: list[Any], right: list[Any]) -> list[str] | None:
    """Return how rows differ from the expected ones if those are not mappings."""
    is_turned = isinstance(right, Rows) and not isinstance(left, Rows)
    actual, expected = (right, left) if is_turned else (left, right)
    if len(actual) * len(expected) > _PAIRS:
        return [f"{rows_counted(len(actual))}, and {len(expected)} expected, differ in any order"]
    extra, missing = without_partners(actual, expected)
    if not extra and not missing:
        return None
    table = getattr(actual, "table", None) or getattr(expected, "table", None)
    name = "" if table is None else f"{table}: "
    sides = [(rows, words) for rows, words in ((missing, "missing"), (extra, "too many")) if rows]
    counts = [f"{rows_counted(len(rows))} {words}" for rows, words in sides]
    lines = [f"{name}{', '.join(counts)}"]
    for rows, words in sides:
        lines += [f"{name}{words}: {shortened(row, 2 * _WIDTH)}" for row in rows[:_LABELS]]
        lines += [f"and {len(rows) - _LABELS} more"] if len(rows) > _LABELS else []
    return lines


def rows_counted(count: int) -> str:
    """Return `1 row`, or `2 rows`."""
    return f"{count} row" if count == 1 else f"{count} rows"


def label(row: Row, key: Sequence[str]) -> str:
    """Return the label of a row: its key, or all of it."""
    if not key:
        return shortened(row, 2 * _WIDTH)
    return ", ".join(f"{name}={shortened(row[name])}" for name in key)


def listing(texts: Iterable[str], count: int) -> str:
    """Return the first of `count` texts, and the number of the others."""
    shown = list(islice(texts, _LABELS))
    return ", ".join(shown) + (f", and {count - len(shown)} more" if count > len(shown) else "")


def shortened(value: Any, width: int = _WIDTH) -> str:
    """Return the repr of a value, shortened if it is long."""
    try:
        is_moment = isinstance(value, datetime.date | datetime.time)
        # the repr of a long text takes long
        is_text = isinstance(value, str | bytes)
        text = str(value) if is_moment else repr(value[: width + 1] if is_text else value)
    except Exception as error:  # of any class: it is the code of the value
        text = f"<{type(value).__name__}: {type(error).__name__} in its repr>"
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _counts_explained(left: dict[Any, Any], right: dict[Any, Any]) -> list[str] | None:
    if left == right or not (left or right):
        return None
    if not (_are_counts(left, right) or _are_counts(right, left)):
        return None
    lines = []
    for name in dict.fromkeys((*right, *left)):
        if name not in left:
            lines.append(f"{name}: missing")
        elif name not in right:
            lines.append(f"{name}: too many, with {left[name]}")
        elif left[name] != right[name]:
            lines.append(f"{name}: {left[name]} != {right[name]}")
    more = [f"and {len(lines) - _ROWS} more"] if len(lines) > _ROWS else []
    # only row counts of a run are a subclass of dict
    none = "" if (right if type(left) is dict and type(right) is not dict else left) else _NONE
    noun = "count differs" if len(lines) == 1 else "counts differ"
    return [f"{len(lines)} {noun}{none}", *lines[:_ROWS], *more]


def _are_counts(counts: dict[Any, Any], others: dict[Any, Any]) -> bool:
    """Tell whether both are counts by name; `others` may have matchers in place of counts."""
    are_named = all(isinstance(name, str) for name in (*counts, *others))
    are_counts = all(type(n) is int for n in counts.values())
    return are_named and are_counts and all(map(_may_be_count, others.values()))


def _may_be_count(value: Any) -> bool:
    return type(value) is int or says_itself(value)


def _are_rows(*sides: list[Any]) -> bool:
    return any(sides) and all(isinstance(row, dict) for side in sides for row in side)


def _leaves(path: str, one: Any, other: Any, same: Same) -> Iterator[str]:
    """Yield the differences between two cells."""
    if same(one, other):
        return
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from _leaves(f"{path}.{name}", one[name], other[name], same)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (inner, beside) in enumerate(zip(one, other, strict=True)):
            yield from _leaves(f"{path}[{i}]", inner, beside, same)
    else:
        yield f"{path} {_unlike(one, other)}"


def _unlike(one: Any, other: Any) -> str:
    where, is_text = "", isinstance(one, str) and isinstance(other, str)
    if is_text and max(len(one), len(other)) > _WIDTH - 2:
        common = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
        start = max(0, (min(len(one), len(other)) if common is None else common) - 10)
        where = f" (from character {start})" if start else ""
        one, other = one[start:], other[start:]
    texts = [shortened(value) for value in (one, other)]
    if type(one) is not type(other) and len({text.strip("'\"") for text in texts}) == 1:
        texts = [
            f"{text} ({type(value).__name__})"
            for text, value in zip(texts, (one, other), strict=True)
        ]
    return " != ".join(texts) + where
