"""Compares what a pipeline leaves after a crash with what a run without a crash leaves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_dlthub.assertions.differences import RowDifferences, listing, rows_counted, shortened
from pytest_dlthub.assertions.matching import frozen, likely_key
from pytest_dlthub.crashes.contents import Contents, Record, Table

Cause = Literal["loaded twice", "extracted twice", "without ids", "lost", "fails", "other"]

_SAMPLE = 10
_WORDS = {2: "twice"}


@dataclass(frozen=True)
class Problem:
    """One difference.

    Attributes:
        subject: What is wrong, mostly a table.
        words: How it is wrong: `3 rows twice`.
        rows: The rows that are wrong, by their key; empty if there are none.
        cause: The cause.
        more: Further lines.
    """

    subject: str
    words: str
    rows: str = ""
    cause: Cause = "other"
    more: tuple[str, ...] = ()


def differences(actual: Contents, expected: Contents) -> list[Problem]:
    """Return all differences.

    Args:
        actual: What the pipeline has left after a crash and another run.
        expected: What a run without a crash has left.
    """
    return [
        *_of_tables(actual, expected),
        *_of_columns(actual, expected),
        *_of_state("the state of the pipeline", actual.state, expected.state),
        *_of_state("the state at the destination", actual.stored_state, expected.stored_state),
        *_of_loads(actual, expected),
    ]


def _of_tables(actual: Contents, expected: Contents) -> Iterator[Problem]:
    for name in {**expected.tables, **actual.tables}:
        ours, theirs = actual.tables.get(name), expected.tables.get(name)
        if ours is None or theirs is None:
            words = "the table is missing" if ours is None else "the table is there"
            yield Problem(name, words, cause="lost" if ours is None else "other")
            continue
        found = list(_of_rows(name, ours, theirs))
        yield from found
        if not found and Counter(map(frozen, ours.nested)) != Counter(map(frozen, theirs.nested)):
            apart = RowDifferences(ours.nested, theirs.nested, table=name, key=theirs.key)
            words = "rows of nested tables belong to other rows"
            yield Problem(name, words, more=tuple(apart.lines[:_SAMPLE]))


def _of_rows(name: str, ours: Table, theirs: Table) -> Iterator[Problem]:
    there, wanted = _counts(ours.rows), _counts(theirs.rows)
    surplus = {row: there[row] - n for row, n in wanted.items() if there[row] > n}
    yield from _too_often(name, ours, theirs, surplus)
    missing = list((wanted - there).elements())
    strange = list((there - wanted).elements())
    strange = [row for row in strange if row not in surplus]
    known = {frozen(row): row for row in (*ours.rows, *theirs.rows)}
    left, right = [known[row] for row in strange], [known[row] for row in missing]
    if right and not left:
        yield Problem(name, f"{rows_counted(len(right))} lost", _labels(right, theirs), "lost")
    elif left:
        apart = RowDifferences(left, right, table=name, key=theirs.key)
        words = apart.summary.removeprefix(f"{name}: ")
        yield Problem(name, words, more=tuple(apart.lines[:_SAMPLE]))


def _too_often(
    name: str, ours: Table, theirs: Table, surplus: Mapping[Hashable, int]
) -> Iterator[Problem]:
    """Yield the rows that are there too often, grouped by cause."""
    ids: dict[Hashable, list[Any]] = defaultdict(list)
    first: dict[Hashable, Record] = {}
    for row, row_id in zip(ours.rows, ours.ids, strict=True):
        known = frozen(row)
        if known in surplus:
            ids[known].append(row_id)
            first.setdefault(known, row)
    alike: dict[tuple[int, Cause], list[Record]] = defaultdict(list)
    for known, row in first.items():
        # rows of another extraction have other ids
        is_same_row = len({*ids[known]}) < len(ids[known])
        cause: Cause = "loaded twice" if is_same_row else "extracted twice"
        if None in ids[known]:
            cause = "without ids"
        wanted = len(ids[known]) - surplus[known]
        alike[len(ids[known]) if wanted == 1 else 0, cause].append(row)
    for (times, cause), rows in alike.items():
        often = _WORDS.get(times, f"{times} times") if times else "too often"
        yield Problem(name, f"{rows_counted(len(rows))} {often}", _labels(rows, theirs), cause)


def _counts(rows: Iterable[Record]) -> Counter[Hashable]:
    return Counter(map(frozen, rows))


def _labels(rows: Sequence[Record], table: Table) -> str:
    """Return the labels of rows by their key: `id=4, 5, 6`."""
    each = list({frozen(row): row for row in table.rows}.values())
    key = table.key or likely_key(each, each)
    if len(key) == 1:
        values = sorted(rows, key=lambda row: shortened(row.get(key[0])))
        return f"{key[0]}={listing((shortened(r.get(key[0])) for r in values), len(values))}"
    names = key or [*rows[0]][:3]
    labels = (", ".join(f"{n}={shortened(row.get(n))}" for n in names) for row in rows)
    return listing((f"({label})" for label in labels), len(rows))


def _of_columns(actual: Contents, expected: Contents) -> Iterator[Problem]:
    for name in {**expected.columns, **actual.columns}:
        ours, theirs = actual.columns.get(name), expected.columns.get(name)
        if ours is None or theirs is None:
            if name not in {**actual.tables, **expected.tables}:
                words = "the schema lacks the table" if ours is None else "the schema has the table"
                yield Problem(name, words)
            continue
        changed = [c for c in {**theirs, **ours} if ours.get(c) != theirs.get(c)]
        if changed:
            lines = (_column_difference(c, ours.get(c), theirs.get(c)) for c in changed[:_SAMPLE])
            noun = "column differs" if len(changed) == 1 else "columns differ"
            yield Problem(name, f"{len(changed)} {noun}", more=tuple(lines))


def _column_difference(name: str, one: Any, other: Any) -> str:
    if one is None or other is None:
        return f"column {name} {'is missing' if one is None else 'should not be there'}"
    hints = sorted(h for h in {**one, **other} if one.get(h) != other.get(h))
    return f"column {name}: " + ", ".join(f"{h} {other.get(h)} → {one.get(h)}" for h in hints)


def _of_state(
    subject: str, actual: Mapping[str, Any], expected: Mapping[str, Any]
) -> Iterator[Problem]:
    lines = list(_leaves("", actual, expected))
    if lines:
        yield Problem(subject, "differs", more=tuple(lines[:_SAMPLE]))


def _leaves(path: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in {**other, **one}:
            inner = f"{path}.{name}" if path else str(name)
            yield from _leaves(inner, one.get(name), other.get(name))
    elif one != other and not (_are_hashes(path) and sorted(one or ()) == sorted(other or ())):
        yield f"{path}: {shortened(other)} → {shortened(one)}"


def _are_hashes(path: str) -> bool:
    # of the rows at a cursor's last value, in any order
    return path.endswith(".unique_hashes")


def _of_loads(actual: Contents, expected: Contents) -> Iterator[Problem]:
    names = [name for name in actual.unfinished if name not in expected.unfinished]
    if names:
        listed = listing(names, len(names))
        yield Problem("_dlt_loads", f"lacks a load that has rows in {listed}", cause="lost")
    if count := actual.entered_twice - expected.entered_twice:
        noun = "load is" if count == 1 else "loads are"
        yield Problem("_dlt_loads", f"{count} {noun} entered twice", cause="loaded twice")
    for name in actual.unstored:
        if name not in expected.unstored:
            yield Problem(f"schema {name}", "is not stored at the destination as it is here")
