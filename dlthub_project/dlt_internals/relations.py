"""dlt's relations, and the ibis expressions that are made of them, as data to load."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.job_client_impl import SqlJobClientBase

from dlthub_project.dlt_internals import sql_clients

if TYPE_CHECKING:
    from dlt.common.destination.client import DestinationClientConfiguration, JobClientBase
    from dlt.common.schema.typing import TTableSchemaColumns
    from dlt.extract import DltResource
    from dlt.normalize.configuration import ItemsNormalizerConfiguration


def dataset_of(relation: dlt.Relation) -> dlt.Dataset:
    """Return the dataset that a relation reads."""
    return relation._dataset


def extracting_pipeline() -> dlt.Pipeline | None:
    """Return the pipeline that extracts in this thread at this moment.

    None if code only iterates over the data, even if a pipeline is active.
    """
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return None
    pipeline = dlt.current.pipeline()
    return pipeline if isinstance(pipeline, dlt.Pipeline) else None


def extracting_resource() -> DltResource:
    """Return the resource whose function is running."""
    from dlt.extract.decorators import get_resource

    return get_resource()


def gives_row_ids() -> bool:
    """Tell whether the extracting pipeline gives row ids to Arrow tables (`add_dlt_id`)."""
    return own_columns_of("parquet_normalizer")[1]


def gives_load_ids() -> bool:
    """Tell whether the extracting pipeline gives queries the id of the load (`add_dlt_load_id`)."""
    return own_columns_of("model_normalizer")[0]


def own_columns_of(normalizer: str) -> tuple[bool, bool]:
    """Tell whether dlt adds `_dlt_load_id`, and `_dlt_id`, in the pipeline that extracts.

    Args:
        normalizer: `parquet_normalizer` for Arrow data, `model_normalizer` for queries.
    """
    found = _normalizer(normalizer, add_dlt_load_id=normalizer == "model_normalizer")
    return found.add_dlt_load_id, found.add_dlt_id


def _normalizer(section: str, **defaults: bool) -> ItemsNormalizerConfiguration:
    from dlt.common.configuration.resolve import resolve_configuration
    from dlt.normalize.configuration import ItemsNormalizerConfiguration

    configuration = ItemsNormalizerConfiguration(**defaults)
    return resolve_configuration(configuration, sections=("normalize", section))


def inserts_from(pipeline: dlt.Pipeline, relation: dlt.Relation) -> bool:
    """Tell whether the destination of `pipeline` can insert the rows of `relation` by a query.

    It can if it has the rows already, and takes queries as load jobs.
    """
    if pipeline.destination is None or pipeline.staging is not None:
        return False
    client = _client(pipeline)
    dialect = client.capabilities.sqlglot_dialect
    # dlt makes the ids by UUID(), which SQLite lacks, and quotes names as MySQL quotes texts
    if dialect == "mysql" or (dialect == "sqlite" and gives_row_ids()):
        return False
    formats = client.capabilities.supported_loader_file_formats or ()
    # dlt lets file systems take queries, too, and writes them as files
    return (
        "model" in formats
        and isinstance(client, SqlJobClientBase)
        and _is_one_place(client.config, relation._dataset.destination_client.config)
    )


def stored_columns(pipeline: dlt.Pipeline, table: str) -> TTableSchemaColumns:
    """Return the columns that a table has at the pipeline's destination, whoever has made it.

    Empty if there is none, if the load that extracts drops it before, or if the destination has no
    tables of its own, but files.
    """
    state: Any = dlt.current.load_package_state()["state"]
    dropped = {each["name"] for each in state.get("dropped_tables", ())}
    client: Any = _client(pipeline)
    if not isinstance(client, SqlJobClientBase) or table in dropped:
        return {}
    with client:
        if not client.is_storage_initialized():
            return {}
        columns: TTableSchemaColumns = dict(client.get_storage_tables([table])).get(table, {})
    for name, column in columns.items():
        if column.get("data_type") == "bigint":
            # databases tell how long their integers are, and dlt does not
            columns[name] = {"name": name, "data_type": "bigint"}
    return columns


def has_outer_join(relation: dlt.Relation) -> bool:
    """Tell whether a join adds nulls to columns that have none, which dlt does not see."""
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect=relation.query_dialect)
    return any(join.side for join in query.find_all(sqlglot.exp.Join))


def columns_of_result(relation: dlt.Relation) -> list[tuple[str, str]]:
    """Return name and expression of each column of a relation, even of several with one name.

    `Relation.columns` has only the first of those.
    """
    import sqlglot

    dialect = relation.query_dialect
    query: Any = sqlglot.parse_one(relation.to_sql(), dialect=dialect)
    return [(each.alias_or_name, each.unalias().sql(dialect=dialect)) for each in query.selects]


def as_select(relation: dlt.Relation) -> dlt.Relation:
    """Return a relation as a SELECT: dlt takes no other query (`UNION`) for a load job."""
    import sqlglot

    query = relation.sqlglot_expression
    if isinstance(query, sqlglot.exp.Select):
        return relation
    columns = (sqlglot.exp.column(name, quoted=True) for name in relation.columns)
    return relation._dataset.query(sqlglot.exp.select(*columns).from_(query.subquery("rows")))


def is_ibis(item: Any) -> bool:
    """Tell whether an item is an expression of ibis."""
    if sys.modules.get("ibis") is None:
        return False
    from ibis.expr.types import Expr

    return isinstance(item, Expr)


def dataset_of_ibis(expression: Any) -> dlt.Dataset | None:
    """Return the dataset that an expression was made of by `to_ibis()`; None for any other."""
    backends, _ = expression._find_backends()
    found = [getattr(backend, "_dataset", None) for backend in backends]
    return found[0] if len(found) == 1 else None


def ibis_as_sql(expression: Any, dialect: Any) -> str:
    """Return an expression as a query in the SQL of a destination."""
    from dlt.helpers.ibis import compile_ibis_to_sqlglot

    return compile_ibis_to_sqlglot(expression.as_table(), dialect).sql(dialect=dialect)


def reads_table(relation: dlt.Relation, pipeline: dlt.Pipeline, table: str) -> bool:
    """Tell whether a relation at the pipeline's destination reads `table` of its dataset."""
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect=relation.query_dialect)
    client: Any = _client(pipeline)
    name = client.sql_client.make_qualified_table_name(table)
    target = sqlglot.exp.to_table(name, dialect=client.capabilities.sqlglot_dialect)
    return any(
        (read.name.lower(), read.db.lower()) == (target.name.lower(), target.db.lower())
        for read in query.find_all(sqlglot.exp.Table)
    )


def _client(pipeline: dlt.Pipeline) -> JobClientBase:
    return pipeline._get_destination_clients(dlt.Schema("any"))[0]


def _is_one_place(
    one: DestinationClientConfiguration, other: DestinationClientConfiguration
) -> bool:
    try:
        return bool(one.can_write_from(other))
    except ValueError:  # an unknown place counts as another one
        return False


def is_of_dataset(relation: dlt.Relation, dataset: dlt.Dataset) -> bool:
    """Tell whether a relation was made by this very object."""
    return relation._dataset is dataset


def are_of_one_dataset(one: dlt.Relation, other: dlt.Relation) -> bool:
    """Tell whether one query can read both relations."""
    datasets = one._dataset, other._dataset
    first, second = (dataset.destination_client.config for dataset in datasets)
    return datasets[0].dataset_name == datasets[1].dataset_name and _is_one_place(first, second)


def only_table(relation: dlt.Relation) -> str | None:
    """Return the name of the table that a relation reads; None if it reads several."""
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect=relation.query_dialect)
    names = {table.name for table in query.find_all(sqlglot.exp.Table)}
    return names.pop() if len(names) == 1 else None


def quoted(*names: str) -> str:
    """Return a name of several parts as `answer` takes it, and as DuckDB itself does."""
    return ".".join('"{}"'.format(name.replace('"', '""')) for name in names)


def answer(relation: dlt.Relation, query: str, **others: dlt.Relation) -> list[tuple[Any, ...]]:
    """Return the rows that the destination returns for a query.

    Args:
        relation: A relation; the query calls it `checked`.
        query: The query, in the SQL of DuckDB, with its names in double quotes.
        **others: Other relations of the same dataset, by what the query calls them.
    """
    text = text_of(relation, query, **others)
    connected = sql_clients.connected(relation.sql_client)
    with connected as client, client.execute_query(text) as cursor:
        return list(cursor.fetchall())


def text_of(relation: dlt.Relation, query: str, **others: dlt.Relation) -> str:
    """Return a query in the SQL of the destination; see `answer`."""
    import sqlglot

    dialect = relation.query_dialect

    def read(one: dlt.Relation) -> Any:
        return sqlglot.parse_one(one.to_sql(), dialect=dialect)

    text: str = _made(relation, query, others, read).sql(dialect=dialect)
    return text


def asked_of(relation: dlt.Relation, query: str, **others: dlt.Relation) -> dlt.Relation:
    """Return a relation that a query makes of others; see `answer`."""
    made = _made(relation, query, others, lambda one: one.sqlglot_expression)
    return relation._dataset.query(made)


def _made(
    relation: dlt.Relation,
    query: str,
    others: Mapping[str, dlt.Relation],
    read: Callable[[dlt.Relation], Any],
) -> Any:
    import sqlglot

    made = sqlglot.parse_one(query, dialect="duckdb")
    # not those of the relations' own queries
    for table in list(made.find_all(sqlglot.exp.Table)):
        inner = read(others.get(table.name, relation)).copy()
        # an alias that the query gives it is kept
        table.replace(inner.subquery(table.alias or table.name))
    return made


def column_of_breach(breach: Any) -> str | None:
    """Return the column that a breach of a contract is about.

    Args:
        breach: dlt's error. If a pydantic model raised it, it holds a place such as
            `("lines", 0, "boo")`, as a text.
    """
    name: str | None = breach.column_name
    if not name or not name.startswith("("):
        return name
    parts = [part for part in ast.literal_eval(name) if isinstance(part, str)]
    naming = dlt.Schema("any").naming
    return naming.make_path(*(naming.normalize_identifier(part) for part in parts))


def query_in(relation: dlt.Relation, **qualifier: str) -> str:
    """Return the query of a relation, for a DuckDB database with its tables in another schema.

    Args:
        relation: A relation of a DuckDB or filesystem destination.
        qualifier: `catalog`, the alias of the attached database that has the tables, or `db`, the
            schema that has them.
    """
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect="duckdb")
    for table in query.find_all(sqlglot.exp.Table):
        for part, name in qualifier.items():
            table.set(part, sqlglot.exp.to_identifier(name, quoted=True))
    return query.sql(dialect="duckdb")


def table_of(relation: dlt.Relation) -> tuple[dlt.Dataset, str] | None:
    """Return the dataset and the table from which a relation has all its rows.

    None for a relation of several tables, of a table that dlt does not know, and for aggregates.
    """
    import sqlglot

    query = relation.sqlglot_expression
    if relation._table_name is None or not isinstance(query, sqlglot.exp.Select):
        return None
    if any(query.args.get(part) for part in ("joins", "group", "distinct")):
        return None
    return relation._dataset, relation._table_name
