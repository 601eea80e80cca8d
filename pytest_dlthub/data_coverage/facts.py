"""The items that `--dlt-cov` counts, which of them tests have covered, and the percentages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Item = tuple[str, ...]
"""A dimension, and the path of the item in it: `("columns", "shop", "orders", "price")`."""

ELSEWHERE = "elsewhere"
"""Stands where a dimension would: a process that we cannot observe has run this source."""

DIMENSIONS = {
    "pipelines": "run",
    "sources": "run",
    "resources": "run by their own code, with rows",
    "tables": "loaded with a row",
    "columns": "loaded with a value",
    "reads": "columns looked at",
    "dispositions": "run a second time",
    "cursors": "run a second time",
    "keys": "met a second time",
    "contracts": "breached",
    "profiles": "checked",
}
"""The dimensions in the order of reports, and what a test has to do to cover one of their items."""


@dataclass
class Facts:
    """What a session knows of items.

    Attributes:
        known: All items.
        covered: The items that a test has covered.
        unknown: The items that a test may have covered; nobody can tell.
        notes: Why an item is not covered, if we know: rows were given, nothing was yielded.
    """

    known: set[Item] = field(default_factory=set)
    covered: set[Item] = field(default_factory=set)
    unknown: set[Item] = field(default_factory=set)
    notes: dict[Item, str] = field(default_factory=dict)

    def cover(self, item: Item) -> None:
        """Add an item, as covered."""
        self.known.add(item)
        self.covered.add(item)

    def leave_open(self, item: Item) -> None:
        """Add an item that a test may have covered."""
        self.known.add(item)
        self.unknown.add(item)

    def add(self, other: Facts, *, has_passed: bool = True) -> None:
        """Add other facts. A test that has not passed covers nothing: `has_passed=False`."""
        self.known |= other.known
        if has_passed:
            self.covered |= other.covered
            self.unknown |= other.unknown
        self.notes.update(other.notes)

    def without(self, earlier: Facts) -> Facts:
        """Return the facts that `earlier` does not have."""
        return Facts(
            self.known - earlier.known,
            self.covered - earlier.covered,
            self.unknown - earlier.unknown,
            {item: note for item, note in self.notes.items() if earlier.notes.get(item) != note},
        )

    def __bool__(self) -> bool:
        return bool(self.known or self.covered or self.unknown or self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as values of JSON."""
        return {
            "known": sorted(self.known),
            "covered": sorted(self.covered),
            "unknown": sorted(self.unknown),
            "notes": sorted((*item, note) for item, note in self.notes.items()),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Facts:
        """Return the facts that `to_json` has written."""
        known, covered, unknown = (
            {tuple(item) for item in found[name]} for name in ("known", "covered", "unknown")
        )
        notes = {tuple(item): note for *item, note in found["notes"]}
        return cls(known, covered, unknown, notes)


@dataclass(frozen=True)
class Figures:
    """How much of a dimension is covered.

    Attributes:
        covered: The items that a test has covered.
        missed: The items that no test has covered.
        unknown: The items that a test may have covered.
    """

    covered: tuple[Item, ...]
    missed: tuple[Item, ...]
    unknown: tuple[Item, ...]

    @classmethod
    def of(cls, facts: Facts, items: Iterable[Item]) -> Figures:
        """Return the figures of some items."""
        ordered = sorted(items)
        elsewhere = {item[1] for item in facts.unknown if item[0] == ELSEWHERE}
        of_others = {item for item in ordered if len(item) > 1 and item[1] in elsewhere}
        open_ = (facts.unknown | of_others) - facts.covered
        return cls(
            tuple(item for item in ordered if item in facts.covered),
            tuple(item for item in ordered if item not in facts.covered | open_),
            tuple(item for item in ordered if item in open_),
        )

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.covered) + len(self.missed) + len(self.unknown)

    @property
    def percent(self) -> float | None:
        """The percentage of items that a test has covered; None if there are no items."""
        return 100 * len(self.covered) / self.count if self.count else None


def by_dimension(facts: Facts) -> Iterator[tuple[str, Figures]]:
    """Yield each dimension with its figures."""
    for dimension in DIMENSIONS:
        yield (
            dimension,
            Figures.of(facts, [item for item in facts.known if item[0] == dimension]),
        )
