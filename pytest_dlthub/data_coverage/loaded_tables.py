"""What runs have loaded so far in the sandboxes of this process, by table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# how many keys of a table we keep, to see whether a later run brings one of them again
_MOST_KEYS = 20_000


@dataclass
class LoadedTable:
    """A table, as far as one source has loaded it.

    Attributes:
        names: All of its columns.
        columns: The columns that have had a value.
        unseen: The columns that may have had a value: nobody has seen their rows.
        loads: How many runs have brought rows.
        keys: The values of its merge key.
        has_all_keys: Whether `keys` are all: we do not read files of other formats.
    """

    names: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)
    loads: int = 0
    keys: set[Any] = field(default_factory=set)
    has_all_keys: bool = True

    def bring(self, keys: set[Any] | None) -> bool | None:
        """Add the keys of a load; tell whether an earlier load had one, None if nobody knows."""
        if keys is None or len(self.keys) + len(keys) > _MOST_KEYS:
            self.has_all_keys = False
            return None
        met = not self.keys.isdisjoint(keys)
        self.keys |= keys
        return met or (False if self.has_all_keys else None)


@dataclass
class LoadedDataset:
    """A dataset in a sandbox.

    Attributes:
        tables: By name and source: two sources may load into one table.
        is_watched: Whether we see every query: only for DuckDB, whose files nobody else reads.
    """

    tables: dict[tuple[str, str], LoadedTable] = field(default_factory=dict)
    cursors: set[tuple[str, str, str]] = field(default_factory=set)
    is_watched: bool = True

    def of(self, table: str) -> Iterator[tuple[str, LoadedTable]]:
        """Yield the sources that have loaded a table, and what they have loaded."""
        for (name, owner), loaded in self.tables.items():
            if name == table:
                yield owner, loaded

    def table(self, name: str, owner: str) -> LoadedTable:
        """Return a table as a source has loaded it; an empty one if it has not."""
        return self.tables.setdefault((name, owner), LoadedTable())

    def refresh(self, owner: str) -> None:
        """Forget earlier runs of a source, since a run with `refresh` begins anew."""
        for (_, whose), loaded in self.tables.items():
            if whose == owner:
                loaded.loads, loaded.keys, loaded.has_all_keys = 0, set(), True
        self.cursors = {cursor for cursor in self.cursors if cursor[1] != owner}


class Loaded:
    """The datasets of all sandboxes, by the folder of the sandbox."""

    def __init__(self) -> None:
        self._datasets: dict[str, dict[str, LoadedDataset]] = {}

    def dataset(self, folder: str, name: str) -> LoadedDataset:
        """Return a dataset of a sandbox, new if it is."""
        return self._datasets.setdefault(folder, {}).setdefault(name, LoadedDataset())

    def find(self, folder: str | None, name: str) -> LoadedDataset | None:
        """Return the dataset of a sandbox that code reads; or of one around it, the latest."""
        own = self._datasets.get(folder or "", {})
        if name in own:
            return own[name]
        others = (datasets[name] for datasets in self._datasets.values() if name in datasets)
        return next(iter([*others][::-1]), None)

    def all(self) -> Iterator[LoadedDataset]:
        """Yield all datasets."""
        for datasets in self._datasets.values():
            yield from datasets.values()

    def forget(self, folder: str) -> None:
        """Drop what is in the sandbox of a test that has ended, and in those within."""
        for other in [
            one for one in self._datasets if one == folder or one.startswith(f"{folder}/")
        ]:
            del self._datasets[other]

    def to_json(self, folder: str) -> dict[str, Any]:
        """Return what is in a sandbox, as JSON has it."""
        return {
            name: {
                "is_watched": dataset.is_watched,
                "cursors": sorted(dataset.cursors),
                "tables": [
                    [
                        *key,
                        sorted(one.names),
                        sorted(one.columns),
                        sorted(one.unseen),
                        one.loads,
                        sorted(one.keys),
                        one.has_all_keys,
                    ]
                    for key, one in dataset.tables.items()
                ],
            }
            for name, dataset in self._datasets.get(folder, {}).items()
        }

    def take(self, folder: str, found: Mapping[str, Any]) -> None:
        """Record the same loads for another sandbox."""
        for name, one in found.items():
            dataset = self.dataset(folder, name)
            dataset.is_watched = one["is_watched"]
            dataset.cursors |= {tuple(cursor) for cursor in one["cursors"]}
            for table, owner, names, columns, unseen, loads, keys, has_all in one["tables"]:
                dataset.tables[table, owner] = LoadedTable(
                    {*names}, {*columns}, {*unseen}, loads, {*keys}, has_all
                )
