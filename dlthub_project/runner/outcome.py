"""What came of a run: rows by table, schema changes, and one load info of several attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo


def row_counts(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Return the rows that the last run of `pipeline` normalized, by data table.

    Nested tables are included; a table without rows is absent, and so are dlt's own tables.
    """
    trace = pipeline.last_trace
    info = trace.last_normalize_info if trace else None
    counts = info.row_counts if info else {}
    return {table: rows for table, rows in counts.items() if rows and not table.startswith("_dlt_")}


def schema_changes(info: LoadInfo | None) -> dict[str, list[str]]:
    """Return the columns that a load added at the destination, by data table.

    A new table has all of its columns.
    """
    changes: dict[str, list[str]] = {}
    for package in info.load_packages if info else ():
        for name, table in package.schema_update.items():
            if not name.startswith("_dlt_"):
                changes.setdefault(name, []).extend(table["columns"])
    return changes


def joined(earlier: LoadInfo | None, later: LoadInfo) -> LoadInfo:
    """Return `later` with the packages that an earlier attempt of the same run has loaded."""
    loaded = [] if earlier is None else [p for p in earlier.load_packages if p.state == "loaded"]
    kept = [package for package in loaded if package.load_id not in later.loads_ids]
    if earlier is None or not kept:
        return later
    ids = [package.load_id for package in kept]
    return later._replace(
        metrics={**{i: earlier.metrics[i] for i in ids if i in earlier.metrics}, **later.metrics},
        loads_ids=[*ids, *later.loads_ids],
        load_packages=[*kept, *later.load_packages],
    )
