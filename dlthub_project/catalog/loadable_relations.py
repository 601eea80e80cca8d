"""Relations as data to load: queries if the rows can stay at the destination, or Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dlt
import pyarrow
from dlt.common.normalizers.utils import generate_dlt_ids
from dlt.common.schema.utils import dlt_load_id_column
from dlt.extract.exceptions import DataItemRequiredForDynamicTableHints
from dlt.extract.items import DataItemWithMeta, TableNameMeta

from dlthub_project.catalog.schemas import lossy_conversions
from dlthub_project.catalog.transactions import can_share_transaction
from dlthub_project.dlt_internals import datasets, relations
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchema

_CHUNK_ROWS = 100_000


def relation_pages(item: Any, *, exact: bool = False, with_row_ids: bool = False) -> Iterator[Any]:
    """Yield an item of a resource as dlt loads it: relations with the hints of their columns.

    A relation stays a query if it lives at the destination that the pipeline loads to: the
    destination then runs `INSERT ... SELECT`. A relation that reads the table which it replaces,
    or that lives elsewhere, is read as Arrow tables of 100,000 rows. Either way, the rows get the
    `_dlt_load_id` of the load that writes them, unless `normalize.model_normalizer.add_dlt_load_id`
    is false. They get new row ids if the pipeline is configured to give them (`add_dlt_id`).

    Args:
        item: The item. Everything but a relation, marked (`dlt.mark`) or not, is yielded as it is.
        exact: Whether a relation is read as Arrow tables, too, where the columns of its table may
            change its values: the caller compares them.
        with_row_ids: Whether the table has row ids, which no query gives: a relation without them
            is read as Arrow tables that have some.

    Raises:
        ProjectError: A relation has two columns of one name.
    """
    relation = item.data if isinstance(item, DataItemWithMeta) else item
    if not isinstance(relation, dlt.Relation):
        yield item
        return
    pipeline = relations.extracting_pipeline()
    if pipeline is None:
        yield from relation.iter_arrow(chunk_size=_CHUNK_ROWS)
        return
    _refuse_doubles(relation)
    relation = _without_given_ids(relations.as_select(relation))
    mark = item.meta if isinstance(item, DataItemWithMeta) else None
    table = _table_of(mark)
    if table is None:
        # dlt takes a table's name from rows, and not from Arrow tables
        for page in relation.iter_arrow(chunk_size=_CHUNK_ROWS):
            yield _marked(page.to_pylist(), mark)
        return
    row_id = dlt.current.source_schema().naming.normalize_identifier("_dlt_id")
    lacks_ids = with_row_ids and row_id not in relation.columns and not relations.gives_row_ids()
    required = _required(relation)
    if mark is None or isinstance(mark, TableNameMeta):
        mark = _hints(relation, required, table, mark)
    may_stay = not lacks_ids and _stays_query(relation, pipeline, table)
    if may_stay and not (exact and _may_lose(relation, pipeline, table)):
        yield _marked(relation, mark)
        return
    is_empty = True
    for page in relation.iter_arrow(chunk_size=_CHUNK_ROWS):
        page = _with_load_id(_nullable(page, required))
        if lacks_ids:
            ids = pyarrow.array(generate_dlt_ids(page.num_rows), pyarrow.string())
            page = page.append_column(pyarrow.field(row_id, ids.type, nullable=False), ids)
        yield _marked(page, mark)
        is_empty = False
    if is_empty:
        # a relation without rows makes the table, too
        yield _marked(dlt.mark.materialize_table_schema(), mark)


def _refuse_doubles(relation: dlt.Relation) -> None:
    """Refuse columns that have one name in the table: dlt would load only one of them."""
    naming = dlt.current.source_schema().naming
    by_name: dict[str, list[str]] = {}
    for name, expression in relations.columns_of_result(relation):
        by_name.setdefault(naming.normalize_identifier(name), []).append(expression)
    # each joined table brings columns of dlt
    own = naming.normalize_identifier("_dlt")
    doubles = {name: each for name, each in by_name.items() if len(each) > 1}
    if doubles := {name: each for name, each in doubles.items() if not name.startswith(own)}:
        listed = "; ".join(f"`{name}`: {', '.join(each)}" for name, each in doubles.items())
        (name, (*_, last)), *_ = doubles.items()
        raise ProjectError(
            f"A query has several columns of one name, and a table one of each: {listed}.",
            f"Name them apart, such as `SELECT {last} AS other_{name}`, or leave all but one out.",
        )


def _table_of(mark: Any) -> TTableSchema | None:
    """Return the table that the running resource declares; None if the rows decide."""
    try:
        return relations.extracting_resource().compute_table_schema(meta=mark)
    except DataItemRequiredForDynamicTableHints:
        return None


def _without_given_ids(relation: dlt.Relation) -> dlt.Relation:
    """Return a relation without row ids if the loaded rows get new ones.

    dlt would keep the old ids of a query, so that a table which is saved to itself has them twice.
    dlt fails if Arrow tables have row ids already.
    """
    if not relations.gives_row_ids():
        return relation
    row_id = dlt.current.source_schema().naming.normalize_identifier("_dlt_id")
    columns = relation.columns
    return relation.select(*(c for c in columns if c != row_id)) if row_id in columns else relation


def _marked(data: Any, mark: Any) -> Any:
    return data if mark is None else DataItemWithMeta(mark, data)


def _with_load_id(page: pyarrow.Table) -> pyarrow.Table:
    """Return `page` with the id of the load: dlt itself gives it only to the rows of a query."""
    if not relations.gives_load_ids():
        return page
    load_id = dlt.current.load_package_state()["load_id"]
    naming = dlt.current.source_schema().naming
    name = naming.normalize_identifier("_dlt_load_id")
    column = pyarrow.repeat(load_id, page.num_rows)
    field = pyarrow.field(name, column.type, nullable=False)
    at = page.schema.get_field_index(name)
    return page.append_column(field, column) if at < 0 else page.set_column(at, field, column)


def _required(relation: dlt.Relation) -> list[str]:
    """Return the columns of a relation that are never null. Any may be null after an outer join."""
    if relations.has_outer_join(relation):
        return []
    columns = relation.columns_schema
    return [name for name, column in columns.items() if column.get("nullable") is False]


def _nullable(page: pyarrow.Table, required: list[str]) -> pyarrow.Table:
    """Return `page` with fields as nullable as the hints say: dlt warns if they differ."""
    fields = [field.with_nullable(field.name not in required) for field in page.schema]
    return page.cast(pyarrow.schema(fields))


def _hints(
    relation: dlt.Relation, required: list[str], table: TTableSchema, mark: TableNameMeta | None
) -> Any:
    """Return the mark that hands the columns of `relation` to its table; declared hints win."""
    declared = table["columns"]
    found = {
        name: {**column, "nullable": name not in required}
        for name, column in relation.columns_schema.items()
    }
    if relations.gives_load_ids():
        found["_dlt_load_id"] = {**dlt_load_id_column()}
    columns: Any = {
        column: {**found.get(column, {}), **declared.get(column, {})}
        for column in (*found, *declared)
    }
    name = mark.table_name if mark else None
    hints = dlt.mark.make_hints(table_name=name, columns=columns)
    return dlt.mark.with_hints([], hints, create_table_variant=mark is not None).meta


def _may_lose(relation: dlt.Relation, pipeline: dlt.Pipeline, table: TTableSchema) -> bool:
    schema = dlt.current.source_schema()
    name = schema.naming.normalize_table_identifier(table["name"] or "")
    columns = dict(schema.tables.get(name, {}).get("columns", {}))
    if columns and can_share_transaction(pipeline.destination):
        # the types of the database, which plain dlt does not always keep in the schema
        columns.update(datasets.columns_there(pipeline, schema, name))
    return bool(lossy_conversions(relation.columns_schema, columns))


def _stays_query(relation: dlt.Relation, pipeline: dlt.Pipeline, table: TTableSchema) -> bool:
    if not relations.inserts_from(pipeline, relation):
        return False
    if not all(column.get("data_type") for column in relation.columns_schema.values()):
        # the schema lacks a type, and only the rows tell it
        return False
    name = dlt.current.source_schema().naming.normalize_table_identifier(table["name"] or "")
    replaces = table.get("write_disposition") == "replace"
    return not (replaces and relations.reads_table(relation, pipeline, name))
