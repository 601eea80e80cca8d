"""Finds mistakes in the checks and metrics of tables that the models cannot find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlthub_project.manifest import models
from dlthub_project.manifest.document import EntryPath, Mistake

_BOUNDS = {"between": ("low", "high"), "row_count": ("min", "max", "change")}


def mistakes_in_checks(datasets: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the mistakes in a section `datasets` that the models have passed."""
    for name, dataset in datasets.items():
        for table, entry in ((dataset or {}).get("tables") or {}).items():
            path: EntryPath = ("datasets", name, "tables", table)
            yield from _of_checks(entry.get("checks") or (), (*path, "checks"))
            for number, metric in enumerate(entry.get("metrics") or ()):
                if isinstance(metric, Mapping):
                    kinds = models.ColumnMetricEntry.model_fields
                    yield from _not_one(metric, kinds, (*path, "metrics", number))


def _of_checks(checks: Any, path: EntryPath) -> Iterator[Mistake]:
    names: set[str] = set()
    for number, check in enumerate(checks):
        yield from _not_one(check, models.CheckEntry.model_fields, (*path, number))
        for kind, options in check.items():
            of_kind = (*path, number, kind)
            bounds = _BOUNDS.get(kind, ())
            if bounds and isinstance(options, Mapping) and not _has_any(options, bounds):
                yield Mistake(of_kind, f"needs {' or '.join(f'`{bound}`' for bound in bounds)}")
            within = options.get("within") if isinstance(options, Mapping) else None
            if within is not None and not any(within.values()):
                yield Mistake((*of_kind, "within"), "needs `days`, `hours` or `minutes`")
            name = options.get("name") if isinstance(options, Mapping) else None
            if name in names:
                yield Mistake((*of_kind, "name"), f"another check of the table is called `{name}`")
            if name is not None:
                names.add(name)


def _not_one(entry: Mapping[str, Any], kinds: Any, path: EntryPath) -> Iterator[Mistake]:
    named = [kind for kind, options in entry.items() if options is not None]
    if len(named) != 1:
        yield Mistake(path, f"must be one of {', '.join(kinds)}; begin a new one with a dash")


def _has_any(options: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return any(options.get(name) is not None for name in names)
