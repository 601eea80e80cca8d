"""Refuses data that the columns of existing tables would round or cut, before they are normalized.

dlt leaves the cast of Arrow data to the destination, and casts the values of rows itself: a
timestamp loses its time in a column of dates, a decimal its last places, without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.schema.utils import has_table_seen_data

from dlthub_project.catalog.frames import cast_without_loss
from dlthub_project.catalog.schemas import LossyConversion, lossy_conversions, written_type
from dlthub_project.catalog.transactions import can_share_transaction, is_postgres
from dlthub_project.dlt_internals import datasets, normalization, pipelines
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlt.common.pipeline import NormalizeInfo
    from dlt.common.schema import Schema
    from dlt.common.schema.typing import TColumnSchema

    Columns = Mapping[str, TColumnSchema]


class LosslessPipeline(dlt.Pipeline):
    """A pipeline that sends PostgreSQL no CSV where CSV would change the values of Arrow data.

    Plain dlt sends Arrow data as CSV: an empty text becomes NULL, and bytes become texts.
    """

    keeps_what_csv_changes = True

    def normalize(self, *args: Any, **kwargs: Any) -> NormalizeInfo:
        """Normalize what was extracted; see `dlt.Pipeline.normalize`."""
        if not is_postgres(self.destination):
            return super().normalize(*args, **kwargs)
        tables = [
            name
            for path, name, _ in pipelines.extracted_files(self, pipelines.ARROW)
            if any(normalization.changed_by_csv(path))
        ]
        with normalization.loaded_without_csv(self, tables):
            return super().normalize(*args, **kwargs)


def refuse_losses(pipeline: dlt.Pipeline, stored: Sequence[Schema]) -> None:
    """Compare what a pipeline has extracted with the tables that it goes to.

    Args:
        pipeline: The pipeline.
        stored: The schemas of the dataset.

    Raises:
        ProjectError: The type of a column cannot hold one of the values.
    """
    for path, name, schema in pipelines.extracted_files(pipeline):
        known = next((s for s in stored if name in s.tables), None)
        if path.endswith(pipelines.ARROW):
            # a column that is new may get its type from an earlier page
            columns = dict(schema.tables.get(name, {}).get("columns", {}))
            if known is not None:
                columns.update(known.tables[name]["columns"])
                if can_share_transaction(pipeline.destination):
                    # plain dlt gives a schema the types of the last Arrow data
                    columns.update(datasets.columns_there(pipeline, schema, name))
            _refuse_losses_of_arrow(path, name, columns)
        elif known is not None and _may_change_rows(known, name):
            _refuse_losses_of_rows(pipelines.extracted_rows(path), name, known)


def losses_of_arrow(pipeline: dlt.Pipeline) -> list[ProjectError]:
    """Return an error for each extracted file of Arrow data that its table would change.

    Args:
        pipeline: The pipeline. The database tells the types of the tables that it has loaded
            before: dlt gives a schema those of the last Arrow data.
    """
    found: list[ProjectError] = []
    if isinstance(pipeline, LosslessPipeline):
        # such a pipeline has refused them before
        return found
    for path, name, schema in pipelines.extracted_files(pipeline, pipelines.ARROW):
        table = schema.tables.get(name, {})
        columns = dict(table.get("columns", {}))
        if has_table_seen_data(table):
            columns.update(datasets.columns_there(pipeline, schema, name))
        try:
            _refuse_losses_of_arrow(path, name, columns)
        except ProjectError as error:
            found.append(error)
    return found


def _refuse_losses_of_arrow(path: str, table: str, columns: Columns) -> None:
    """Compare a Parquet file with the columns of a table; values only where types may lose some."""
    with pq.ParquetFile(path) as file:
        found = datasets.columns_of_arrow(file.schema_arrow)
        for lossy in lossy_conversions(found, columns):
            target = datasets.arrow_type(columns[lossy.column])
            for batch in file.iter_batches(columns=[lossy.column]):
                values = pa.chunked_array([batch.column(0)])
                if cast_without_loss(values, target) is None:
                    raise lossy.error(table)


# types that change a value. For a value that a column of another type cannot hold, dlt makes a
# further column
_CHANGING = frozenset(("date", "bool", "double", "wei", "decimal"))


def _may_change_rows(schema: Schema, table: str) -> bool:
    """Tell whether rows need to be compared at all, with the table or those nested in it."""
    return any(
        column.get("data_type") in _CHANGING
        for name, there in schema.tables.items()
        if name.startswith(table)
        for column in there["columns"].values()
    )


def _refuse_losses_of_rows(rows: Iterable[Any], table: str, schema: Schema) -> None:
    for row in rows:
        if isinstance(row, Mapping):
            for name, column, value in _values(row, table, "", schema):
                if _is_lost(value, column):
                    raise _error(name, column, value)


def _values(
    row: Mapping[str, Any], table: str, prefix: str, schema: Schema
) -> Iterator[tuple[str, TColumnSchema, Any]]:
    """Yield the values of a row that go to columns of the schema, and those nested in it."""
    columns = schema.tables.get(table, {}).get("columns", {})
    for key, value in row.items():
        name = schema.naming.normalize_path(key)
        name = schema.naming.shorten_fragments(prefix, name) if prefix else name
        if name in columns:
            yield table, columns[name], value
        elif isinstance(value, Mapping):
            yield from _values(value, table, name, schema)
        elif isinstance(value, list):
            nested = schema.naming.shorten_fragments(table, name)
            for item in value if nested in schema.tables else ():
                if isinstance(item, Mapping):
                    yield from _values(item, nested, "", schema)


def _is_lost(value: Any, column: TColumnSchema) -> bool:
    """Tell whether dlt changes a value of a row when it casts it to the type of the column."""
    kind = column.get("data_type")
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if kind == "date":
        return is_number or (isinstance(value, datetime | str) and _has_time(value))
    if not is_number or (isinstance(value, float | Decimal) and not math.isfinite(value)):
        return False
    if kind == "bool":
        return bool(value not in (0, 1))
    if kind == "double":
        return not isinstance(value, float) and bool(Decimal(repr(float(value))) != value)
    if kind == "wei":
        return bool(value != int(value))
    if kind == "decimal":
        scale = column.get("scale")
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        places = -int(exact.normalize().as_tuple().exponent)
        return places > (9 if scale is None and column.get("precision") is None else scale or 0)
    return False


def _has_time(value: datetime | str) -> bool:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            # dlt understands it, or makes a further column for it
            return False
    return value.time() != datetime.min.time()


def _error(table: str, column: TColumnSchema, value: Any) -> ProjectError:
    name = str(column["name"])
    (types,) = lossy_conversions({name: _column_of(value)}, {name: column}) or [
        LossyConversion(name, type(value).__name__, written_type(column), is_silent=True)
    ]
    return types.error(table)


def _column_of(value: Any) -> TColumnSchema:
    if isinstance(value, datetime | str):
        return {"data_type": "timestamp"}
    if isinstance(value, Decimal):
        places = max(0, -int(value.as_tuple().exponent))
        return {"data_type": "decimal", "precision": len(value.as_tuple().digits), "scale": places}
    return {"data_type": "double" if isinstance(value, float) else "bigint"}
