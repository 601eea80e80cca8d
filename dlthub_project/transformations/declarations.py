"""The entries of caches and transformations in the manifest, and what users print of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlthub_project.errors import EntityNotFound, known_names

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo

    from dlthub_project.context import Project


@dataclass(frozen=True)
class CacheInput:
    """A dataset that a cache reads.

    Attributes:
        dataset: Its name.
        tables: The names of its tables, and those that they get in the cache; None for all of its
            data tables.
        is_incremental: Whether outputs that append or merge read its new loads only.
    """

    dataset: str
    tables: Mapping[str, str] | None
    is_incremental: bool

    def __str__(self) -> str:
        tables = (f"{there} -> {here}" for there, here in (self.tables or {}).items())
        loads = "new loads" if self.is_incremental else "all loads"
        return f"{self.dataset}: {', '.join(tables) or 'all tables'} ({loads})"


@dataclass(frozen=True)
class OutputTable:
    """A table of a cache that goes to a dataset.

    Attributes:
        made: Its name in the cache.
        dataset: The dataset.
        name: Its name there.
        write_disposition: `append`, `replace` or `merge`.
        says_how: Whether the manifest names the write disposition.
        primary_key: The columns of its primary key.
        merge_key: The columns of its merge key.
    """

    made: str
    dataset: str
    name: str
    write_disposition: str
    says_how: bool
    primary_key: tuple[str, ...] = ()
    merge_key: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.made} -> {self.dataset}.{self.name} ({self.write_disposition})"


@dataclass(frozen=True)
class Declaration:
    """An entry of `caches`.

    Attributes:
        inputs: What the cache reads.
    """

    inputs: tuple[CacheInput, ...]
    _outputs: tuple[Mapping[str, Any], ...]

    def outputs(self, made: Iterable[str]) -> list[OutputTable]:
        """Return the tables to write. An output without `tables` takes all of `made`."""
        return [
            OutputTable(
                made=name,
                dataset=entry["dataset"],
                name=there,
                write_disposition=entry.get("write_disposition") or "append",
                says_how=bool(entry.get("write_disposition")),
                primary_key=_columns(entry.get("primary_key")),
                merge_key=_columns(entry.get("merge_key")),
            )
            for entry in self._outputs
            for name, there in (entry.get("tables") or {name: name for name in made}).items()
        ]

    def output_lines(self) -> list[str]:
        """Return one line for each table to write, to be printed."""
        named = [str(output) for output in self.outputs(())]
        return named + [
            f"{entry['dataset']}: all tables that are made"
            for entry in self._outputs
            if not entry.get("tables")
        ]


def declared_cache(project: Project, name: str) -> Declaration:
    """Return the entry of cache `name`.

    Raises:
        EntityNotFound: It is not declared.
        ManifestError: It uses an environment variable that is not set.
    """
    entry = _declared(project, "caches", name, "inputs: [{dataset: <a dataset>}]")
    return Declaration(
        tuple(
            CacheInput(
                dataset=each["dataset"],
                tables=each.get("tables") or None,
                is_incremental=_is_true(each.get("incremental")),
            )
            for each in entry.get("inputs") or ()
        ),
        tuple(entry.get("outputs") or ()),
    )


def declared_transformation(project: Project, name: str) -> Mapping[str, Any]:
    """Return the entry of transformation `name`.

    Raises:
        EntityNotFound: It is not declared.
        ManifestError: It uses an environment variable that is not set.
    """
    return _declared(project, "transformations", name, "engine: sql\n      cache: <a cache>")


def _declared(project: Project, section: str, name: str, example: str) -> Mapping[str, Any]:
    manifest = project.manifest
    entry = manifest.entry(section, name)
    if entry is None:
        raise EntityNotFound(
            f"There is no {section.removesuffix('s')} `{name}` in {manifest.document.path}. "
            f"{known_names(name, manifest.names(section))}",
            f"Declare it:\n  {section}:\n    {name}:\n      {example}",
        )
    filled: Mapping[str, Any] = manifest.fill(entry, (section, name))
    return filled


def _columns(key: str | Sequence[str] | None) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key or ())


def _is_true(value: bool | str | None) -> bool:
    # the value of a variable is a text
    return value is None or str(value).lower() not in ("false", "0", "no")


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
