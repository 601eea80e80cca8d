"""Which loads a cache holds, and for which tables: kept in a file for the next step."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt

from dlthub_project.transformations.declarations import CacheInput, OutputTable

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchema

Loads = Mapping[str, Sequence[str]]
"""Load ids by dataset."""


@dataclass(frozen=True)
class Offer:
    """A choice of loads, and the tables that are made of them.

    Attributes:
        schema: The schema of the cache database that holds the tables.
        loads: The chosen loads of each input; None for an input with all its loads.
        seen: All loads that the inputs had when they were chosen, by dataset.
        outputs: The tables to write when the transformation has made them.
        inputs: The input tables, by their names in the cache.
        tables: The input tables and those that were made of them, in dlt's words.
    """

    schema: str
    loads: Sequence[Sequence[str] | None]
    seen: Loads
    outputs: Sequence[OutputTable]
    inputs: list[str] = field(default_factory=list)
    tables: dict[str, TTableSchema] = field(default_factory=dict)

    def dlt_schema(self) -> dlt.Schema:
        """Return a schema of dlt that has the tables under their names in the cache."""
        schema = dlt.Schema(self.schema, normalizers={"names": "direct", "json": {}})
        for table in self.tables.values():
            schema.update_table(json.loads(json.dumps(table)), normalize_identifiers=False)
        return schema


@dataclass(frozen=True)
class Plan:
    """All offers of a cache; none if no load is new for any table.

    Attributes:
        offers: The offers.
        attached: The DuckDB files that views of the cache read, by alias.
        viewed: The datasets in files that views of the cache read.
        untold: The tables of inputs whose new rows cannot be told.
    """

    offers: Sequence[Offer] = ()
    attached: Mapping[str, str] = field(default_factory=dict)
    viewed: Sequence[str] = ()
    untold: Sequence[str] = ()

    def replaces(self, output: OutputTable) -> bool:
        """Tell whether an output is replaced by what is made of all rows."""
        return _replaces(output, self.untold)

    def write(self, path: Path) -> None:
        """Store the plan as a whole, or keep the earlier file."""
        written = path.with_suffix(".new")
        written.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        os.replace(written, path)

    @classmethod
    def read(cls, path: Path) -> Plan | None:
        """Return the stored plan; None if there is none."""
        if not path.exists():
            return None
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        offers = [Offer(**{**o, "outputs": _outputs(o["outputs"])}) for o in stored["offers"]]
        return cls(**{**stored, "offers": offers})


def make_offers(
    inputs: Sequence[CacheInput],
    outputs: Sequence[OutputTable],
    listed: Sequence[Sequence[str]],
    processed: Mapping[OutputTable, Loads],
    untold: Sequence[str] = (),
) -> list[Offer]:
    """Return the offers for the tables to write. Tables that need the same loads share an offer.

    A table that is replaced needs all loads, as soon as there is one that it has not seen. A table
    that is appended to or merged needs the loads that it has not seen. With them it gets all loads
    of inputs that are not incremental, but these alone are no reason to make it again.

    Args:
        inputs: The inputs of the cache.
        outputs: The tables to write.
        listed: The loads of each input.
        processed: The loads that each table has seen.
        untold: The tables of inputs whose new rows cannot be told. With any, a table is replaced
            unless the manifest says how it is written.
    """
    seen: dict[str, list[str]] = {}
    for source, ids in zip(inputs, listed, strict=True):
        seen[source.dataset] = sorted({*seen.get(source.dataset, ()), *ids})
    all_are_whole = not any(source.is_incremental for source in inputs)
    found: dict[str, tuple[list[Sequence[str] | None], list[OutputTable]]] = {}
    for output in outputs:
        done = {dataset: set(ids) for dataset, ids in processed.get(output, {}).items()}
        new = [
            [load for load in ids if load not in done.get(source.dataset, ())]
            for source, ids in zip(inputs, listed, strict=True)
        ]
        replaces = _replaces(output, untold)
        is_due = any(
            ids and (source.is_incremental or replaces or all_are_whole)
            for source, ids in zip(inputs, new, strict=True)
        )
        if is_due:
            loads: list[Sequence[str] | None] = [
                ids if source.is_incremental and not replaces else None
                for source, ids in zip(inputs, new, strict=True)
            ]
            found.setdefault(json.dumps(loads), (loads, []))[1].append(output)
    return [
        Offer(f"cache_{number}" if number > 1 else "cache", loads, seen, of_loads)
        for number, (loads, of_loads) in enumerate(found.values(), start=1)
    ]


def _replaces(output: OutputTable, untold: Sequence[str]) -> bool:
    return output.write_disposition == "replace" or bool(untold and not output.says_how)


def _outputs(stored: Sequence[Mapping[str, Any]]) -> list[OutputTable]:
    keys = ("primary_key", "merge_key")
    return [OutputTable(**{**each, **{key: tuple(each[key]) for key in keys}}) for each in stored]
