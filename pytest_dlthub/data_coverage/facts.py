"""What can be covered, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Item = tuple[str, ...]
"""A dimension, and what it is in there: `("columns", "shop", "orders", "price")`."""

ELSEWHERE = "elsewhere"
"""In place of a dimension: a source that processes have run of which nothing is known."""

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
"""What there is to cover, in the order of reports, and what has to be done with it."""


@dataclass
class Facts:
    """What is known of items.

    Attributes:
        known: All that there are.
        covered: Those that a test has covered.
        unknown: Those of which it cannot be known whether a test has.
        notes: Why one is not covered, where that says more: rows were given, nothing was yielded.
    """

    known: set[Item] = field(default_factory=set)
    covered: set[Item] = field(default_factory=set)
    unknown: set[Item] = field(default_factory=set)
    notes: dict[Item, str] = field(default_factory=dict)

    def cover(self, item: Item) -> None:
        """Know an item, and that it is covered."""
        self.known.add(item)
        self.covered.add(item)

    def leave_open(self, item: Item) -> None:
        """Know an item, and that it is not known whether it is covered."""
        self.known.add(item)
        self.unknown.add(item)

    def add(self, other: Facts, *, has_passed: bool = True) -> None:
        """Take what others are; what a test has covered that has not passed is not covered."""
        self.known |= other.known
        if has_passed:
            self.covered |= other.covered
            self.unknown |= other.unknown
        self.notes.update(other.notes)

    def without(self, earlier: Facts) -> Facts:
        """Return what `earlier` does not have."""
        return Facts(
            self.known - earlier.known,
            self.covered - earlier.covered,
            self.unknown - earlier.unknown,
            {item: note for item, note in self.notes.items() if earlier.notes.get(item) != note},
        )

    def __bool__(self) -> bool:
        return bool(self.known or self.covered or self.unknown or self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "known": sorted(self.known),
            "covered": sorted(self.covered),
            "unknown": sorted(self.unknown),
            "notes": sorted((*item, note) for item, note in self.notes.items()),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Facts:
        """Return it from JSON."""
        known, covered, unknown = (
            {tuple(item) for item in found[name]} for name in ("known", "covered", "unknown")
        )
        notes = {tuple(item): note for *item, note in found["notes"]}
        return cls(known, covered, unknown, notes)


@dataclass(frozen=True)
class Figures:
    """How much of a dimension is covered.

    Attributes:
        covered: Those that are.
        missed: Those that no test has covered.
        unknown: Those of which that is not known.
    """

    covered: tuple[Item, ...]
    missed: tuple[Item, ...]
    unknown: tuple[Item, ...]

    @classmethod
    def of(cls, facts: Facts, items: Iterable[Item]) -> Figures:
        """Return them for some items."""
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
        """How many there are."""
        return len(self.covered) + len(self.missed) + len(self.unknown)

    @property
    def percent(self) -> float | None:
        """How many are known to be covered, of a hundred; None if there are none."""
        return 100 * len(self.covered) / self.count if self.count else None


def by_dimension(facts: Facts) -> Iterator[tuple[str, Figures]]:
    """Yield each dimension with its figures."""
    for dimension in DIMENSIONS:
        yield (
            dimension,
            Figures.of(facts, [item for item in facts.known if item[0] == dimension]),
        )
