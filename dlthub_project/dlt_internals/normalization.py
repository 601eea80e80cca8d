"""dlt's normalize step: the file format of a package, tried before it is settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.storages.load_storage import LoadItemStorage
from dlt.common.typing import TLoaderFileFormat
from dlt.normalize.exceptions import NormalizeJobFailed
from dlt.normalize.normalize import Normalize, SubmitRV

Rows = list[dict[str, Any]]
# says whether rows with these columns may be written in the format that is tried
MayWrite = Callable[[Rows, TTableSchemaColumns], bool]


class _FormatRefused(Exception):
    """Rows must not be written in the format that is tried."""


_tried: ContextVar[tuple[TLoaderFileFormat, MayWrite] | None] = ContextVar("_tried", default=None)
_installed = False


@contextmanager
def file_format_tried(file_format: TLoaderFileFormat, may_write: MayWrite) -> Iterator[None]:
    """Have normalize write packages as `file_format` in a block, if all their rows may be.

    A package with rows that may not be is written once more, in the format of its destination. So
    a table is never in files of two formats, which dlt would load in any order. Packages that are
    normalized by several processes keep the format of their destination.
    """
    _install()
    token = _tried.set((file_format, may_write))
    try:
        yield
    finally:
        _tried.reset(token)


def _install() -> None:
    """Wrap the two methods of dlt that normalize a package and write its rows, once."""
    global _installed
    if _installed:
        return
    _installed = True
    # in one process; several of them go through `map_parallel`
    map_single = Normalize.map_single
    write_data_item = LoadItemStorage.write_data_item

    def try_format(self: Normalize, schema: Any, load_id: str, files: Sequence[str]) -> SubmitRV:
        tried = _tried.get()
        if tried is None:
            return map_single(self, schema, load_id, files)
        capabilities = self.config.destination_capabilities
        in_production = capabilities.preferred_loader_file_format
        capabilities.preferred_loader_file_format = tried[0]
        try:
            result = map_single(self, schema, load_id, files)
        finally:
            capabilities.preferred_loader_file_format = in_production
        failure = result.pending_exc
        if not isinstance(failure, NormalizeJobFailed) or not _is_refused(failure):
            return result
        package = self.load_storage.new_packages
        for name in package.list_new_jobs(load_id):
            package.storage.delete(name)
        return map_single(self, schema, load_id, files)

    def write(
        self: LoadItemStorage,
        load_id: str,
        schema_name: str,
        table_name: str,
        item: Any,
        columns: TTableSchemaColumns,
    ) -> int:
        tried = _tried.get()
        spec = self.writer_spec
        if tried is not None and (spec.file_format, spec.data_item_format) == (tried[0], "object"):
            rows = item if isinstance(item, list) else [item]
            if not tried[1](rows, columns):
                raise _FormatRefused(f"{table_name} as {tried[0]}")
        return write_data_item(self, load_id, schema_name, table_name, item, columns)

    # methods of our own in the place of dlt's
    Normalize.map_single = try_format  # type: ignore[method-assign]
    # mypy sees the method of its base class
    LoadItemStorage.write_data_item = write  # type: ignore[method-assign,assignment]


def _is_refused(failure: BaseException) -> bool:
    cause: BaseException | None = failure
    while cause is not None and not isinstance(cause, _FormatRefused):
        cause = cause.__cause__
    return cause is not None
