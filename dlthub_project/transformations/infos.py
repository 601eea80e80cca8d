"""What a transformation has written, and what the manifest declares: to be printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo


@dataclass
class Flushed:
    """What a flush has written.

    Attributes:
        loads: dlt's load info, by dataset; empty if nothing was written.
        rows: The number of rows that were written, by dataset and table.
    """

    loads: dict[str, LoadInfo] = field(default_factory=dict)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, dataset: str, info: LoadInfo, rows: Mapping[str, int]) -> None:
        """Add what was written to a dataset."""
        self.loads[dataset] = info
        self.rows[dataset] = dict(rows)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written, because no load was new."""
        return not self.loads

    def __str__(self) -> str:
        if self.is_empty:
            return "Nothing to do: no load is new."
        lines = []
        for dataset, info in self.loads.items():
            lines.append(f"{dataset}: load {', '.join(info.loads_ids)}")
            lines += [f"  {table}: {rows:,} rows" for table, rows in self.rows[dataset].items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class CacheInfo:
    """The declaration of a cache, and the tables in it.

    Attributes:
        name: Its name.
        path: The DuckDB file.
        inputs: One line for each dataset that it reads.
        outputs: One line for each table that it writes.
        holds: The tables in it.
    """

    name: str
    path: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    holds: Sequence[str]

    def __str__(self) -> str:
        return "\n".join(
            (
                f"cache {self.name}: {self.path}",
                *(f"  input {line}" for line in self.inputs),
                *(f"  output {line}" for line in self.outputs),
                f"  holds {', '.join(self.holds) or 'nothing'}",
            )
        )


@dataclass(frozen=True)
class TransformationInfo:
    """The declaration of a transformation.

    Attributes:
        name: Its name.
        engine: The engine that makes its tables.
        tables: The tables that it makes.
        cache: Its cache.
    """

    name: str
    engine: str
    tables: Sequence[str]
    cache: CacheInfo

    def __str__(self) -> str:
        made = ", ".join(self.tables)
        return f"transformation {self.name} ({self.engine}): makes {made}\n{self.cache}"
