"""The schemas of a dataset as they are stored at its destination."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema

from dlthub_project.dlt_internals import datasets

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from dlt.common.schema.typing import TTableSchema


def stored_schemas(client: JobClientBase) -> list[Schema]:
    """Return the schemas of a dataset as its destination stores them, the oldest first.

    The list is empty if there is no dataset, or if dlt did not load it. `dlt.dataset` alone reads
    only the schema that was stored last. If two pipelines evolve one schema side by side, its
    stored versions do not know each other's tables and columns: here the schema has those of both,
    if they exist.
    """
    assert isinstance(client, WithStateSync)  # the catalog opens no others
    versions = _versions(client)
    schemas: dict[str, Schema] = {}
    for name in dict.fromkeys(name for name, _ in versions):
        # without a name, dlt returns the schema that was stored last
        newest = client.get_stored_schema(name or None)  # type: ignore[arg-type]  # dlt takes None
        if newest is not None:
            schema = _schema_from(newest.schema)
            ancestors = {newest.version_hash, *schema.previous_hashes}
            strays = [
                hash_ for other, hash_ in versions if other == name and hash_ not in ancestors
            ]
            _add_stray_columns(client, schema, strays)
            schemas[name or schema.name] = schema
    return list(schemas.values())


def _versions(client: Any) -> list[tuple[str, str]]:
    """Return the name and hash of every stored schema version; one query for most destinations."""
    try:
        return datasets.stored_versions(client)
    except DestinationUndefinedEntity:
        return []
    except Exception:
        # some destinations raise other errors if the dataset does not exist
        if client.is_storage_initialized():
            raise
        return []


def _add_stray_columns(client: Any, schema: Schema, strays: list[str]) -> None:
    missing: dict[str, TTableSchema] = {}
    for hash_ in reversed(strays):
        version = client.get_stored_schema_by_hash(hash_)
        for name, table in _schema_from(version.schema).tables.items() if version else ():
            known = schema.tables.get(name, {}).get("columns", {})
            added = {c: hints for c, hints in table["columns"].items() if c not in known}
            if name not in schema.tables or added:
                earlier = missing.setdefault(name, {**table, "columns": {}})
                earlier["columns"] = {**added, **earlier["columns"]}
    for name, columns in client.get_storage_tables(missing) if missing else ():
        existing = {c: hints for c, hints in missing[name]["columns"].items() if c in columns}
        if existing:
            schema.update_table({**missing[name], "columns": existing})


def _schema_from(stored: str) -> Schema:
    return Schema.from_dict(json.loads(stored), validate_schema=False)
