"""Finds what caches and transformations of a manifest say that does not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlthub_project.errors import known_names
from dlthub_project.manifest.document import EntryPath, Mistake


def mistakes_between_entries(merged: Mapping[str, Any]) -> list[Mistake]:
    """Return the mistakes of `caches` and `transformations` of a manifest of the right shape.

    Args:
        merged: The manifest, with the profile's section laid over it.
    """
    caches = merged.get("caches") or {}
    found = list(_without_cache(merged.get("transformations") or {}, caches))
    for name, cache in caches.items():
        found += _of_one_name(name, (cache or {}).get("inputs") or ())
        found += _written_twice(name, (cache or {}).get("outputs") or ())
        found += _without_key(name, (cache or {}).get("outputs") or ())
    return found


def _without_cache(
    transformations: Mapping[str, Any], caches: Mapping[str, Any]
) -> Iterator[Mistake]:
    for name, entry in transformations.items():
        cache = (entry or {}).get("cache")
        if cache is not None and cache not in caches and "{env." not in cache:
            path = ("transformations", name, "cache")
            yield Mistake(path, f"`{cache}` is no cache. {known_names(cache, caches)}")


def _of_one_name(cache: str, inputs: Any) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for number, entry in enumerate(inputs):
        for name, in_cache in (entry.get("tables") or {}).items():
            path: EntryPath = ("caches", cache, "inputs", number, "tables", name)
            table = f"{entry['dataset']}.{name}"
            if other := owners.get(in_cache.lower()):
                yield Mistake(
                    path,
                    f"{table} is to be table `{in_cache}` of the cache, and so is {other}. Give "
                    "one of them another name there",
                )
            owners.setdefault(in_cache.lower(), table)


def _written_twice(cache: str, outputs: Any) -> Iterator[Mistake]:
    owners: dict[tuple[str, str], str] = {}
    for number, entry in enumerate(outputs):
        for name, there in (entry.get("tables") or {}).items():
            if other := owners.get((entry["dataset"], there)):
                yield Mistake(
                    ("caches", cache, "outputs", number, "tables", name),
                    f"`{name}` is written to {entry['dataset']}.{there}, and so is `{other}`. "
                    "Give one of them another name there",
                )
            owners.setdefault((entry["dataset"], there), name)


def _without_key(cache: str, outputs: Any) -> Iterator[Mistake]:
    for number, entry in enumerate(outputs):
        is_merged = entry.get("write_disposition") == "merge"
        if is_merged and not (entry.get("primary_key") or entry.get("merge_key")):
            path = ("caches", cache, "outputs", number, "write_disposition")
            yield Mistake(path, "merge needs `primary_key` or `merge_key` beside it")
