"""Queries that a transformation yields as texts or ibis expressions: relations of its datasets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dlt
import sqlglot
from dlt.dataset.exceptions import LineageFailedException
from dlt.extract.items import DataItemWithMeta
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from dlthub_project.dlt_internals import relations
from dlthub_project.errors import ProjectError, known_names

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
