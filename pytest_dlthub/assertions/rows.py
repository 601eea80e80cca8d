"""The rows of a relation as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt


def table_rows(relation: dlt.Relation) -> list[dict[str, Any]]:
    """Return the rows of `relation` as mappings, without dlt's own `_dlt_*` columns."""
    # fetched and not as a frame: frames change types, and DuckDB warns on the way there
    kept = [(i, name) for i, name in enumerate(relation.columns) if not name.startswith("_dlt_")]
    return [{name: row[i] for i, name in kept} for row in relation.fetchall()]
