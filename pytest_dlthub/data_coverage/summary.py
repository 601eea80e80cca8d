"""What a session has covered, in figures and in names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pytest_dlthub.data_coverage.items import DIMENSIONS, Facts, Figures, Item, by_dimension
from pytest_dlthub.data_coverage.owners import told

TITLES = {
    "pipelines": "pipelines run",
    "sources": "sources run",
    "resources": "resources run",
    "tables": "tables loaded",
    "columns": "columns loaded",
    "reads": "columns looked at",
    "dispositions": "write dispositions run twice",
    "cursors": "cursors run twice",
    "keys": "merge keys met again",
    "contracts": "contracts breached",
    "profiles": "profiles checked",
}


@dataclass(frozen=True)
class Summary:
    """What a session has covered.

    Attributes:
        facts: All that is known.
        without_sandbox: How many tests have passed of which nothing is known.
    """

    facts: Facts
    without_sandbox: int

    @cached_property
    def dimensions(self) -> dict[str, Figures]:
        """The figures of each dimension in which there is something to cover."""
        return {name: figures for name, figures in by_dimension(self.facts) if figures.count}

    @cached_property
    def total(self) -> Figures:
        """The figures of all dimensions together."""
        return Figures.of(self.facts, (item for item in self.facts.known if item[0] in DIMENSIONS))

    @property
    def percent_told(self) -> str:
        """How much is covered, never rounded up to what it is not."""
        return percent(self.total)

    def is_below(self, minimum: float | None) -> bool:
        """Tell whether less is covered than is asked for; nothing at all is, if anything is."""
        return minimum is not None and (self.total.percent or 0.0) < minimum

    def name(self, item: Item) -> str:
        """Return an item as it is read: `shop.orders.price`."""
        dimension, first, *rest = item
        if dimension in ("pipelines", "profiles"):
            return first
        owner = told(first, self._owners)
        if dimension in ("dispositions", "keys", "contracts"):
            *place, last = rest
            return f"{'.'.join([owner, *filter(None, place)])}: {last}"
        return ".".join([owner, *rest])

    def missing(self, dimension: str) -> Iterator[str]:
        """Yield what no test has covered, and why where that is known; whole tables as one."""
        missed = self.dimensions[dimension].missed
        yield from self._names(missed)

    def open(self, dimension: str) -> Iterator[str]:
        """Yield that of which it is not known whether a test has covered it."""
        yield from self._names(self.dimensions[dimension].unknown)

    def _names(self, items: tuple[Item, ...]) -> Iterator[str]:
        whole = set()
        for item in items:
            place = item[:3]
            if len(item) == 4 and item[0] in ("columns", "reads"):
                of_table = [one for one in self.facts.known if one[:3] == place]
                if len(of_table) > 1 and set(of_table) <= set(items):
                    if place not in whole:
                        whole.add(place)
                        yield f"{self.name(place)}.*"
                    continue
            note = self.facts.notes.get(item)
            yield f"{self.name(item)} ({note})" if note else self.name(item)

    @cached_property
    def _owners(self) -> set[str]:
        return {item[1] for item in self.facts.known if item[0] == "sources"}


def percent(figures: Figures) -> str:
    """Return how many of a hundred are covered, never rounded up to what it is not."""
    found = figures.percent
    if found is None:
        return "-"
    return f"{int(found * 10) / 10:g} %"
