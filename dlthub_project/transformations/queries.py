"""Queries as the data of a transformation: makes relations of texts and ibis expressions.

A query is refused before it runs if the table would round or cut its values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
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
from dlthub_project.catalog.frames import is_frame
from dlthub_project.catalog.schemas import lossy_conversions
from dlthub_project.dlt_internals import relations
from dlthub_project.errors import ProjectError, known_names

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchemaColumns

# how many characters of a query a message shows
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


@dataclass(frozen=True)
class _Table:
    """The table that items of a resource go to; without a name if the items name it.

    Attributes:
        name: Its name.
        columns: What the resource declares of it, and what it has at the destination.
        there: What it has at the destination; none if it is not there yet.
    """

    name: str = ""
    columns: TTableSchemaColumns = field(default_factory=dict)
    there: TTableSchemaColumns = field(default_factory=dict)

    @cached_property
    def needs(self) -> dict[str, bool]:
        """The columns of dlt that it has, and whether they are never null."""
        normalize = dlt.current.source_schema().naming.normalize_identifier
        own = {name: self.there.get(normalize(name)) for name in _OWN}
        return {name: not hints.get("nullable", True) for name, hints in own.items() if hints}


# the columns that dlt itself adds to data
_OWN = ("_dlt_load_id", "_dlt_id")
_ROWS, _ARROW, _QUERIES = "rows", "frames or Arrow data", "queries"


def pages(items: Iterable[Any], transformation: str) -> Iterator[Any]:
    """Yield the items of a resource as dlt loads them, if their tables can hold them.

    Args:
        items: The items, as `relation_pages` takes them.
        transformation: The name of what makes them, for errors.

    Raises:
        ProjectError: A column of a table would round or cut the values of a relation. Or dlt could
            not load the items together, or into their table: dlt adds columns of its own, which
            differ for rows, Arrow data and queries. If they differ from those of the table, dlt
            leaves a package that blocks the next run.
    """
    tables: dict[str | None, _Table] = {}
    firsts: dict[str, tuple[str, tuple[str, ...]]] = {}
    # cached: dlt resolves its configuration each time
    own_columns = cache(relations.own_columns_of)
    for item in items:
        mark, data = (item.meta, item.data) if isinstance(item, DataItemWithMeta) else (None, item)
        kind = _kind_of(data)
        if kind is None or relations.extracting_pipeline() is None:
            yield from relation_pages(item)
            continue
        key = getattr(mark, "table_name", None)
        if key not in tables:
            tables[key] = _table(mark)
        table = tables[key]
        if table.name:
            added = _added(kind, data, table, own_columns)
            first, of_first = firsts.setdefault(table.name, (kind, added))
            if added != of_first:
                raise _not_together(transformation, table, {first: of_first, kind: added})
            _refuse_other_columns(transformation, table, kind, added)
        if isinstance(data, dlt.Relation):
            yield from _pages_of_relation(item, data, table)
        else:
            yield item


def _kind_of(data: Any) -> str | None:
    if isinstance(data, dlt.Relation):
        return _QUERIES
    first = data[0] if isinstance(data, list) and data else data
    if is_frame(first):
        return _ARROW
    return _ROWS if isinstance(first, Mapping) else None


def _added(
    kind: str, data: Any, table: _Table, own_columns: Callable[[str], Iterable[bool]]
) -> tuple[str, ...]:
    """Return the columns of dlt that data of a kind have when they are loaded."""
    if kind == _ROWS:
        return _OWN
    normalizer = "model_normalizer" if kind == _QUERIES else "parquet_normalizer"
    added = dict(zip(_OWN, own_columns(normalizer), strict=True))
    first = data[0] if isinstance(data, list) else data
    own = [str(name) for name in getattr(first, "columns", ())]
    own = first.column_names if isinstance(first, pyarrow.Table) else own
    # relations get the ids that their table needs
    is_given = kind == _QUERIES and table.needs.get("_dlt_id")
    return tuple(
        name for name in _OWN if added[name] or name in own or (name == "_dlt_id" and is_given)
    )


def _refuse_other_columns(
    transformation: str, table: _Table, kind: str, added: tuple[str, ...]
) -> None:
    needs = table.needs
    lacking = [name for name, is_needed in needs.items() if is_needed and name not in added]
    more = [name for name in added if table.there and name not in needs]
    if lacking or more:
        says = [f"needs {_listed(lacking)}, which dlt does not give them"] if lacking else []
        says += [f"lacks {_listed(more)}, which dlt gives them"] if more else []
        raise ProjectError(
            f"Transformation `{transformation}` makes {kind} for table `{table.name}`, which "
            f"{' and '.join(says)}.",
            _SAME_COLUMNS,
        )


def _not_together(
    transformation: str, table: _Table, added: Mapping[str, tuple[str, ...]]
) -> ProjectError:
    gets = [f"{kind} get {_listed(names) or 'none'}" for kind, names in added.items()]
    return ProjectError(
        f"Transformation `{transformation}` makes {' and '.join(added)} for table `{table.name}`, "
        f"and dlt gives them different columns of its own: {', '.join(gets)}.",
        _SAME_COLUMNS,
    )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


_SAME_COLUMNS = (
    "Make one kind of data, or write to another table. Or have all kinds get both columns: set "
    "`add_dlt_id` and `add_dlt_load_id` of `normalize.model_normalizer` (queries) and of "
    "`normalize.parquet_normalizer` (Arrow data) to true."
)


def _pages_of_relation(item: Any, relation: dlt.Relation, table: _Table) -> Iterator[Any]:
    columns = relation.columns_schema
    _refuse_losses(columns, table)
    only_rows_tell = any("data_type" not in column for column in columns.values())
    for page in relation_pages(item, with_row_ids=table.needs.get("_dlt_id", False)):
        data = page.data if isinstance(page, DataItemWithMeta) else page
        if only_rows_tell and isinstance(data, pyarrow.Table):
            # a column of nulls only fits any type
            held = [n for n in data.column_names if data[n].null_count < data.num_rows]
            _refuse_losses(py_arrow_to_table_schema_columns(data.select(held).schema), table)
        yield page


def _table(mark: Any) -> _Table:
    """Return the table that the running resource loads."""
    pipeline = relations.extracting_pipeline()
    assert pipeline is not None
    try:
        table = relations.extracting_resource().compute_table_schema(meta=mark)
    except DataItemRequiredForDynamicTableHints:
        # rows that name their table are loaded one by one, and lose nothing: dlt gives values of
        # another type a column of their own
        return _Table()
    naming = dlt.current.source_schema().naming
    name = naming.normalize_table_identifier(table["name"] or "")
    there = relations.stored_columns(pipeline, name)
    declared = {naming.normalize_identifier(n): c for n, c in table["columns"].items()}
    return _Table(name, {**declared, **there}, there)


def _refuse_losses(columns: TTableSchemaColumns, table: _Table) -> None:
    naming = dlt.current.source_schema().naming
    data = {naming.normalize_identifier(column): hints for column, hints in columns.items()}
    for conversion in lossy_conversions(data, table.columns):
        if conversion.is_silent:
            raise conversion.error(table.name)


def tables_read(query: Any) -> list[exp.Table]:
    """Return the tables that a query reads by name, without CTEs and table functions.

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
    """Return `query` as a relation of `dataset`, or why it is none, as the end of a sentence."""
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
