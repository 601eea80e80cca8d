"""The rows of a relation as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dlthub.assertions.values import reader_of

if TYPE_CHECKING:
    import dlt


def table_rows(relation: dlt.Relation) -> list[dict[str, Any]]:
    """Return the rows of `relation` as mappings, without dlt's own `_dlt_*` columns.

    A value is the same on every destination: JSON columns are objects, binary ones bytes,
    timestamps in UTC.
    """
    # fetched and not as a frame: frames change types, and DuckDB warns on the way there
    kept = [
        (i, name, reader_of(column))
        for i, (name, column) in enumerate(relation.columns_schema.items())
        if not name.startswith("_dlt_")
    ]
    return [{name: read(row[i]) for i, name, read in kept} for row in relation.fetchall()]
