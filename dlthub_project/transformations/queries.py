"""Queries as the data of a transformation: texts and ibis expressions, too, are relations.

Tables that would round or cut the values of a query refuse it before it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dlt
import pyarrow
import sqlglot
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.dataset.exceptions import LineageFailedException
from dlt.extract.exceptions import DataItemRequiredForDynamicTableHints
from dlt.extract.items import DataItemWithMeta
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from dlthub_project.catalog import relation_pages
from dlthub_project.catalog.schemas import lossy_conversions
from dlthub_project.dlt_internals import relations
from dlthub_project.errors import ProjectError, known_names

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchemaColumns

# of a text in a message
_SHOWN = 60


def call(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Call the function of a transformation, and yield what it returns or yields.

    A text and an ibis expression become relations of the dataset that has their tables.

    Args:
        name: The transformation, for errors.
        function: The function.
        *args: Its arguments.
        **kwargs: More of them.

    Raises:
        ProjectError: A text is no query over one of the datasets that the function has got, or
            over several of them.
    """
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = [value for value in bound.arguments.values() if isinstance(value, dlt.Dataset)]
    returned = function(*args, **kwargs)
    for item in returned if inspect.isgenerator(returned) else (returned,):
        yield from _with_relations(item, name, given)


def pages(item: Any) -> Iterator[Any]:
    """Yield an item of a resource as dlt loads it, if its table holds the values of a query.

    Args:
        item: The item, as `relation_pages` takes it.

    Raises:
        ProjectError: A column of the table would round or cut the values of a relation.
    """
    relation = item.data if isinstance(item, DataItemWithMeta) else item
    if not isinstance(relation, dlt.Relation) or relations.extracting_pipeline() is None:
        yield from relation_pages(item)
        return
    name, there = _table(item.meta if isinstance(item, DataItemWithMeta) else None)
    columns = relation.columns_schema
    _refuse_losses(columns, name, there)
    only_rows_tell = any("data_type" not in column for column in columns.values())
    for page in relation_pages(item):
        data = page.data if isinstance(page, DataItemWithMeta) else page
        if only_rows_tell and isinstance(data, pyarrow.Table):
            # a column of nulls alone has any type
            held = [n for n in data.column_names if data[n].null_count < data.num_rows]
            of_page = py_arrow_to_table_schema_columns(data.select(held).schema)
            _refuse_losses(of_page, name, there)
        yield page


def _table(mark: Any) -> tuple[str, TTableSchemaColumns]:
    """Return the name and columns of the table that the running resource loads.

    These are the columns that it has at the destination, and those that the resource declares.
    """
    pipeline = relations.extracting_pipeline()
    assert pipeline is not None
    try:
        table = relations.extracting_resource().compute_table_schema(meta=mark)
    except DataItemRequiredForDynamicTableHints:
        # rows that name their table are loaded one by one, and lose nothing: dlt gives values of
        # another type a column of their own
        return "", {}
    naming = dlt.current.source_schema().naming
    name = naming.normalize_table_identifier(table["name"] or "")
    return name, {
        **{naming.normalize_identifier(n): column for n, column in table["columns"].items()},
        **relations.stored_columns(pipeline, name),
    }


def _refuse_losses(columns: TTableSchemaColumns, name: str, there: TTableSchemaColumns) -> None:
    naming = dlt.current.source_schema().naming
    data = {naming.normalize_identifier(column): hints for column, hints in columns.items()}
    for conversion in lossy_conversions(data, there):
        if conversion.is_silent:
            raise conversion.error(name)


def tables_read(query: Any) -> list[exp.Table]:
    """Return the tables that a query reads by name; CTEs and table functions are none.

    Args:
        query: The query, parsed by sqlglot.

    Raises:
        SqlglotError: The query names two of its sources alike.
    """
    scopes = traverse_scope(query)
    sources = (source for scope in scopes for source in scope.sources.values())
    tables = (source for source in sources if isinstance(source, exp.Table))
    return [table for table in tables if isinstance(table.this, exp.Identifier)]


def _with_relations(item: Any, name: str, datasets: Sequence[dlt.Dataset]) -> Iterator[Any]:
    data = item.data if isinstance(item, DataItemWithMeta) else item
    is_list = isinstance(data, list | tuple)
    items = data if is_list else (data,)
    if not any(_is_query(each) or (is_list and isinstance(each, dlt.Relation)) for each in items):
        yield item
        return
    for each in items:
        made = _relation(each, name, datasets) if _is_query(each) else each
        yield DataItemWithMeta(item.meta, made) if isinstance(item, DataItemWithMeta) else made


def _is_query(item: Any) -> bool:
    return isinstance(item, str) or relations.is_ibis(item)


def _relation(query: Any, name: str, datasets: Sequence[dlt.Dataset]) -> dlt.Relation:
    """Return a query as a relation of the one dataset that it reads."""
    is_text = isinstance(query, str)
    dataset = None if is_text else relations.dataset_of_ibis(query)
    candidates = list({id(each): each for each in datasets}.values())
    if dataset is not None:
        candidates = [dataset]
    said = f"Transformation `{name}` makes an ibis expression"
    if is_text:
        shown = query if len(query) <= _SHOWN else f"{query[:_SHOWN]}..."
        said = f"Transformation `{name}` makes the text {shown!r}"
    found = [_read(query, candidate) for candidate in candidates]
    read = [each for each in found if isinstance(each, dlt.Relation)]
    if len(read) == 1:
        return read[0]
    if read:
        owners = ", ".join(f"`{each.dataset_name}`" for each in candidates)
        raise ProjectError(
            f"{said}, which is a query over several of its datasets: {owners}.",
            'Say which: `yield dataset("SELECT ...")`, or `dataset.table(...).to_ibis()`.',
        )
    reasons = dict.fromkeys(each for each in found if isinstance(each, str))
    raise ProjectError(
        f"{said}, which {' and '.join(reasons)}",
        "Yield one query over the tables of a dataset, a relation, an ibis expression, Arrow "
        "tables, frames, or rows as mappings.",
    )


def _read(query: Any, dataset: dlt.Dataset) -> dlt.Relation | str:
    """Return `query` as a relation of `dataset`, or why it is none, for a sentence about it."""
    dialect = dataset.destination_dialect
    text = query if isinstance(query, str) else relations.ibis_as_sql(query, dialect)
    try:
        parsed = [each for each in sqlglot.parse(text, dialect=dialect) if each]
        if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
            return "is no query."
        tables = tables_read(parsed[0])
    except SqlglotError as error:
        return f"is no query: {error}"
    known = {table.lower(): table for table in dataset.tables}
    naming = dataset.schema.naming
    for table in tables:
        is_here = table.db.lower() in ("", dataset.dataset_name.lower())
        if not is_here or naming.normalize_tables_path(table.name).lower() not in known:
            return (
                f"reads `{'.'.join(part.name for part in table.parts)}`, which is no table of "
                f"dataset `{dataset.dataset_name}`. {known_names(table.name, known.values())}"
            )
    relation = dataset.query(parsed[0])
    try:
        relation.columns_schema  # noqa: B018  # dlt looks for the columns only now
    except LineageFailedException as error:
        return f"is no query over the tables of dataset `{dataset.dataset_name}`: {error}"
    return relation
