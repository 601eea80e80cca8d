"""Frames and Arrow data as Arrow tables that dlt loads without losing a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dlt
import pyarrow as pa

from dlthub_project.catalog.schemas import LossyConversion, written_type
from dlthub_project.dlt_internals import datasets

_VALUE = "value"
_SAYS_THE_SAME = {
    "arrow.uuid": pa.string(),
    "arrow.json": pa.string(),
    "arrow.bool8": pa.bool_(),
}


def is_frame(data: Any) -> bool:
    """Tell whether `data` are a frame, a series or Arrow data of any library."""
    names = {cls.__name__ for cls in type(data).__mro__}
    return (
        (_library(data) == "pandas" and not names.isdisjoint(("DataFrame", "Series")))
        or (_library(data) == "polars" and "LazyFrame" in names)
        or (_library(data) == "pyarrow" and not names.isdisjoint(("Dataset", "Scanner")))
        or hasattr(data, "__arrow_c_stream__")
        or hasattr(data, "__arrow_c_array__")
    )


def arrow_pages(data: Any) -> Iterator[pa.Table]:
    """Yield a frame or Arrow data as Arrow tables; data that come in batches one batch at a time.

    A named index of a pandas frame becomes columns. dlt alone drops every index.
    """
    for page in _tables(data):
        yield _plain(page)


def fitted(pages: Iterable[Any], table_name: str) -> Iterator[Any]:
    """Yield `pages` with their Arrow columns cast to the types of the table that they go to.

    The types are those that the table has at the destination; a new column has the type of the
    first page. dlt leaves the cast to the destination, and DuckDB rounds 1.5 to an integer.

    Raises:
        ProjectError: A value does not fit the type of its column.
    """
    types: dict[str, pa.DataType] = {}
    for page in pages:
        yield _fitted(page, types, table_name) if isinstance(page, pa.Table) else page


def _library(data: Any) -> str:
    """Return the library that made the frame; a subclass counts as its base class."""
    modules = [cls.__module__.partition(".")[0] for cls in type(data).__mro__]
    return next((name for name in modules if name in ("pandas", "polars", "pyarrow")), "")


def _tables(data: Any) -> Iterator[pa.Table]:
    library, kind = _library(data), type(data).__name__
    if library == "pandas":
        yield _from_pandas(data.to_frame(_name(data)) if kind == "Series" else data)
    elif library == "polars" and kind == "LazyFrame":
        batches = getattr(data, "collect_batches", None)
        for frame in batches() if batches else [data.collect()]:
            yield from _tables(frame)
    elif library == "polars":
        import polars

        frame = data.to_frame(_name(data)) if kind == "Series" else data
        yield frame.to_arrow(compat_level=polars.CompatLevel.oldest())
    elif isinstance(data, pa.Table):
        yield data
    elif isinstance(data, pa.RecordBatch):
        yield pa.Table.from_batches([data])
    elif library == "pyarrow" and hasattr(data, "to_batches"):
        # a dataset or a scanner
        schema = data.projected_schema if hasattr(data, "projected_schema") else data.schema
        yield from _from_reader(pa.RecordBatchReader.from_batches(schema, data.to_batches()))
    elif isinstance(data, pa.Array | pa.ChunkedArray):
        yield _from_array(data, _VALUE)
    elif hasattr(data, "__arrow_c_stream__"):
        yield from _from_stream(data)
    else:
        yield _from_array(pa.array(data), _name(data))


def _from_stream(data: Any) -> Iterator[pa.Table]:
    try:
        reader = pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid:
        # one column alone
        yield _from_array(pa.chunked_array(data), _name(data))
    else:
        yield from _from_reader(reader)


def _from_reader(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Yield a table for each batch; without a batch, one without rows, so that dlt creates it."""
    is_empty = True
    for batch in reader:
        is_empty = False
        yield pa.Table.from_batches([batch])
    if is_empty:
        yield reader.schema.empty_table()


def _from_pandas(frame: Any) -> pa.Table:
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if levels:
        frame = frame.reset_index(level=levels)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    # pandas writes metadata of its own, different for each chunk
    return table.replace_schema_metadata(None)


def _from_array(array: Any, name: str) -> pa.Table:
    if pa.types.is_struct(array.type):
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        return pa.Table.from_batches(
            [pa.RecordBatch.from_struct_array(chunk) for chunk in chunks],
            schema=pa.schema(list(array.type)),
        )
    return pa.table({name: array})


def _name(data: Any) -> str:
    return str(getattr(data, "name", None) or _VALUE)


def _plain(table: pa.Table) -> pa.Table:
    """Return a table whose special types are replaced by plain ones with the same meaning."""
    for index, field in enumerate(table.schema):
        target = _plain_type(field.type)
        if target != field.type:
            column = _stored(table.column(index), field.type, target)
            table = table.set_column(index, field.with_type(target), column)
    return table


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        # others, such as pandas' periods, store numbers that do not tell their meaning
        return _SAYS_THE_SAME.get(kind.extension_name, kind)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        plain = _plain_type(kind.value_type)
        return kind if pa.types.is_dictionary(kind) and plain == kind.value_type else plain
    if pa.types.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else kind


def _stored(column: pa.ChunkedArray, kind: pa.DataType, target: pa.DataType) -> pa.ChunkedArray:
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            values = [None if value is None else str(value) for value in column.to_pylist()]
            return pa.chunked_array([values], type=target)
        stored = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(stored, type=kind.storage_type)
    elif pa.types.is_run_end_encoded(kind):
        decoded = [pa.compute.run_end_decode(chunk) for chunk in column.chunks]
        column = pa.chunked_array(decoded, type=kind.value_type)
    return column.cast(target)


def _fitted(table: pa.Table, types: dict[str, pa.DataType], table_name: str) -> pa.Table:
    schema = dlt.current.source_schema()
    name = schema.naming.normalize_table_identifier(table_name)
    columns = schema.tables.get(name, {}).get("columns", {})
    for index, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            continue
        target = types.get(field.name)
        if target is None:
            hints = columns.get(schema.naming.normalize_identifier(field.name), {})
            target = datasets.narrower_arrow_type(hints, field.type) or field.type
            types[field.name] = target
        if target != field.type:
            column = _cast(table.column(index), target, name, field.name)
            table = table.set_column(index, field.with_type(target), column)
    return table


def _cast(column: pa.ChunkedArray, target: pa.DataType, table: str, name: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(target):
        return column.cast(target.value_type).dictionary_encode()
    if (made := cast_without_loss(column, target)) is None:
        types = datasets.columns_of_arrow(
            pa.schema([pa.field("source", column.type), pa.field("table", target)])
        )
        source, there = (
            written_type(types[key]) if key in types else str(kind)
            for key, kind in (("source", column.type), ("table", target))
        )
        raise LossyConversion(name, source, there, is_silent=True).error(table)
    return made


def cast_without_loss(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray | None:
    """Return a column as another type; None if that would change one of its values."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        made = column.cast(target)
        return made if made.cast(column.type).equals(column) else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
