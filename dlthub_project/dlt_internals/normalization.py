"""dlt's normalize step: the file format of a package, tried before it is settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.storages.load_storage import LoadItemStorage
from dlt.common.typing import TLoaderFileFormat
from dlt.normalize.normalize import Normalize, SubmitRV

__all__ = [
    "LoadItemStorage",
    "Normalize",
    "file_format_tried",
    "normalize_package",
    "write_rows",
]

Rows = list[dict[str, Any]]
# says whether rows with these columns may be written in the format that is tried
MayWrite = Callable[[Rows, TTableSchemaColumns], bool]


class _FormatRefused(Exception):
    """Rows must not be written in the format that is tried."""


_tried: ContextVar[tuple[TLoaderFileFormat, MayWrite] | None] = ContextVar("_tried", default=None)


@contextmanager
def file_format_tried(file_format: TLoaderFileFormat, may_write: MayWrite) -> Iterator[None]:
    """Have normalize write packages as `file_format` in a block, if all their rows may be.

    A package with rows that may not be is written once more, in the format of its destination. So
    a table is never in files of two formats, which dlt would load in any order. Packages that are
    normalized by several processes keep the format of their destination.
    """
    token = _tried.set((file_format, may_write))
    try:
        yield
    finally:
        _tried.reset(token)


def normalize_package(
    original: Callable[..., SubmitRV],
    step: Normalize,
    schema: Schema,
    load_id: str,
    files: Sequence[str],
) -> SubmitRV:
    """Normalize a package as `original`, dlt's `Normalize.map_single`, does: in one process."""
    tried = _tried.get()
    if tried is None:
        return original(step, schema, load_id, files)
    capabilities = step.config.destination_capabilities
    in_production = capabilities.preferred_loader_file_format
    capabilities.preferred_loader_file_format = tried[0]
    try:
        result = original(step, schema, load_id, files)
    finally:
        capabilities.preferred_loader_file_format = in_production
    if not _is_refused(result.pending_exc):
        return result
    package = step.load_storage.new_packages
    for name in package.list_new_jobs(load_id):
        package.storage.delete(name)
    return original(step, schema, load_id, files)


def write_rows(
    original: Callable[..., int],
    storage: LoadItemStorage,
    load_id: str,
    schema_name: str,
    table_name: str,
    item: Any,
    columns: TTableSchemaColumns,
) -> int:
    """Write rows as `original`, dlt's `LoadItemStorage.write_data_item`, does."""
    tried = _tried.get()
    spec = storage.writer_spec
    if tried is not None and (spec.file_format, spec.data_item_format) == (tried[0], "object"):
        rows = item if isinstance(item, list) else [item]
        if not tried[1](rows, columns):
            raise _FormatRefused(f"{table_name} as {tried[0]}")
    return original(storage, load_id, schema_name, table_name, item, columns)


def _is_refused(failure: BaseException | None) -> bool:
    cause = failure
    while cause is not None and not isinstance(cause, _FormatRefused):
        cause = cause.__cause__
    return cause is not None
