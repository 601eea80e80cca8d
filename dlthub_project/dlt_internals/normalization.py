"""dlt's normalize step: the file format of a package, and the capabilities that it goes by."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import dlt
from dlt.common.data_writers.exceptions import SpecLookupFailed
from dlt.common.data_writers.writers import resolve_best_writer_spec
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.reference import AnyDestination, DestinationReference
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema, TTableSchemaColumns
from dlt.common.storages.load_storage import LoadItemStorage
from dlt.common.typing import TLoaderFileFormat
from dlt.normalize.normalize import Normalize, SubmitRV

from dlthub_project.errors import causes

__all__ = [
    "LoadItemStorage",
    "Normalize",
    "changed_by_csv",
    "file_format_of_arrow",
    "file_format_tried",
    "known_capabilities",
    "limits_of_names",
    "loaded_without_csv",
    "normalize_package",
    "replace_strategies",
    "write_rows",
]

Rows = list[dict[str, Any]]
# says whether rows with these columns may be written in the format that is tried
MayWrite = Callable[[Rows, TTableSchemaColumns], bool]


class _FormatRefused(Exception):
    """Rows cannot be written in the format that is tried."""


_tried: ContextVar[tuple[TLoaderFileFormat, MayWrite] | None] = ContextVar("_tried", default=None)


@contextmanager
def file_format_tried(file_format: TLoaderFileFormat, may_write: MayWrite) -> Iterator[None]:
    """In a block, normalize writes a package as `file_format` if all its rows can be written so.

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
    return any(isinstance(cause, _FormatRefused) for cause in causes(failure, "none"))


def type_capabilities(
    destination_type: str, like: AnyDestination | None, naming: NamingConvention | None
) -> DestinationCapabilitiesContext:
    """Return what a type of destination can do, without its package and its credentials.

    Args:
        destination_type: The type.
        like: An object that code made, which may be of that type and have settings of its own.
        naming: The naming convention that the capabilities depend on.

    Raises:
        ImportError: dlt needs a package even to tell.
        UnknownDestinationModule: There is no such type.
    """
    factory = DestinationReference.find(destination_type)
    destination = like if like is not None and type(like) is factory else factory()
    found = destination._raw_capabilities()
    found.update(destination.caps_params)
    config = destination.spec()
    config.update(destination.config_params)
    found = destination.adjust_capabilities(found, config, naming)
    # those that code gives go above what follows from the naming convention
    found.update(destination.caps_params)
    return found


def replace_strategies(destination: AnyDestination) -> Sequence[str]:
    """Return the ways in which a destination can replace tables, without its configuration."""
    return destination._raw_capabilities().supported_replace_strategies or ()


_OF_NAMES = (
    "max_column_identifier_length",
    "max_identifier_length",
    "max_table_nesting",
    "naming_convention",
)


def limits_of_names(destination_type: str, like: AnyDestination) -> dict[str, Any]:
    """Return the capabilities of a type of destination that names of tables and columns follow.

    None of a type that cannot tell.

    Args:
        destination_type: The type.
        like: An object that code made, which may be of that type and have settings of its own.
    """
    found = known_capabilities(destination_type, like, None)
    if isinstance(found, str):
        return {}
    return {name: found[name] for name in _OF_NAMES if found[name] is not None}


def known_capabilities(
    destination_type: str, like: AnyDestination | None, naming: NamingConvention | None
) -> DestinationCapabilitiesContext | str:
    """Return what `type_capabilities` does, or in words why that is not known."""
    if not destination_type:
        return "a variable that is not set says what it is"
    try:
        with warnings.catch_warnings():
            # dlt warns in a way that is deprecated
            warnings.simplefilter("ignore")
            return type_capabilities(destination_type, like, naming)
    except Exception as error:
        # of any package, and none of the test's own
        return f"{type(error).__name__}: {error}".split("\n")[0]


@contextmanager
def loaded_without_csv(pipeline: dlt.Pipeline, tables: Collection[str]) -> Iterator[None]:
    """In a block, normalize writes no CSV for some tables, if their destination takes others."""
    capabilities = pipeline.destination.capabilities()
    changed = {
        "loader_file_format_selector": partial(
            _without_csv, frozenset(tables), capabilities.loader_file_format_selector
        ),
        "escape_literal": partial(_literal, capabilities.escape_literal),
    }
    of_destination = pipeline.destination.caps_params
    earlier = {name: of_destination[name] for name in changed if name in of_destination}
    of_destination.update(changed)
    try:
        yield
    finally:
        for name in changed:
            del of_destination[name]
        of_destination.update(earlier)


def _without_csv(
    tables: Collection[str],
    select: Any,
    preferred: TLoaderFileFormat,
    supported: Sequence[TLoaderFileFormat],
    /,
    *,
    table_schema: TTableSchema,
) -> tuple[TLoaderFileFormat, Sequence[TLoaderFileFormat]]:
    if select is not None:
        preferred, supported = select(preferred, supported, table_schema=table_schema)
    if table_schema["name"] in tables:
        supported = [each for each in supported if each != "csv"]
    return preferred, supported


def _literal(write: Callable[[Any], Any], value: Any) -> Any:
    # dlt writes `nan` without quotes, which is the name of a column
    if isinstance(value, float) and not math.isfinite(value):
        return f"'{value}'::float8"
    return write(value)


def file_format_of_arrow(
    capabilities: DestinationCapabilitiesContext, table: TTableSchema
) -> str | None:
    """Return the format in which dlt loads the Arrow data of a table; None if it cannot."""
    preferred: Any = (
        capabilities.preferred_loader_file_format or capabilities.preferred_staging_file_format
    )
    supported: Any = (
        capabilities.supported_loader_file_formats or capabilities.supported_staging_file_formats
    )
    if capabilities.loader_file_format_selector is not None:
        preferred, supported = capabilities.loader_file_format_selector(
            preferred, supported, table_schema=table
        )
    asked: Any = table.get("file_format")
    if asked in supported:
        return str(asked)
    try:
        return resolve_best_writer_spec("arrow", supported, preferred).file_format
    except SpecLookupFailed:
        return None


def changed_by_csv(path: str) -> Iterator[tuple[str, str]]:
    """Yield each column of a Parquet file that PostgreSQL does not get from a CSV file as it is.

    dlt loads CSV with `FORCE_NULL`, writes bytes as texts, and no nested values at all.

    Yields:
        The name of the column, and what becomes of it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        found = set()
        for field in file.schema_arrow:
            if pa.types.is_nested(field.type):
                found.add(field.name)
                yield field.name, "nested values cannot be written"
        for batch in file.iter_batches():
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if name not in found and (why := _changed_by_csv(column)):
                    found.add(name)
                    yield name, why


def _changed_by_csv(column: Any) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return ""
    if pc.any(pc.equal(pc.binary_length(column), 0)).as_py():
        return f"an empty {'text' if is_text else 'value'} becomes NULL"
    is_plain = is_text or all(
        value is None or (b"\\" not in value and b"\0" not in value and _is_utf8(value))
        for value in column.to_pylist()
    )
    return "" if is_plain else "bytes are written as if they were a text"


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
