"""dlt's relations as data to load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.job_client_impl import SqlJobClientBase

if TYPE_CHECKING:
    from dlt.common.destination.client import DestinationClientConfiguration, JobClientBase
    from dlt.extract import DltResource


def extracting_pipeline() -> dlt.Pipeline | None:
    """Return the pipeline that extracts in this thread, at this moment.

    None where data are only iterated: a pipeline may be active then, too.
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
    """Tell whether the pipeline that extracts is configured to give rows of Arrow tables ids."""
    from dlt.common.configuration.resolve import resolve_configuration
    from dlt.normalize.configuration import ItemsNormalizerConfiguration

    sections = ("normalize", "parquet_normalizer")
    return resolve_configuration(ItemsNormalizerConfiguration(), sections=sections).add_dlt_id


def inserts_from(pipeline: dlt.Pipeline, relation: dlt.Relation) -> bool:
    """Tell whether the destination of `pipeline` can insert the rows of `relation` by a query.

    They are there already, and it takes queries as load jobs.
    """
    if pipeline.destination is None or pipeline.staging is not None:
        return False
    client = _client(pipeline)
    formats = client.capabilities.supported_loader_file_formats or ()
    # files take queries as well, by dlt 1.27: as files
    return (
        "model" in formats
        and isinstance(client, SqlJobClientBase)
        and _is_one_place(client.config, relation._dataset.destination_client.config)
    )


def has_outer_join(relation: dlt.Relation) -> bool:
    """Tell whether a relation may have nulls where its tables have none, which dlt does not see."""
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect=relation.query_dialect)
    return any(join.side for join in query.find_all(sqlglot.exp.Join))


def reads_table(relation: dlt.Relation, pipeline: dlt.Pipeline, table: str) -> bool:
    """Tell whether a relation that `inserts_from` names `table` of the pipeline's dataset."""
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
    can_write_from: Any = getattr(one, "can_write_from", None)
    if can_write_from is not None:
        try:
            return bool(can_write_from(other))
        except ValueError:  # a place that cannot be told is not the same
            return False
    # dlt 1.27
    return one.destination_type == other.destination_type and str(one) == str(other)


def is_of_dataset(relation: dlt.Relation, dataset: dlt.Dataset) -> bool:
    """Tell whether a relation was made of this very object."""
    return relation._dataset is dataset


def query_in(relation: dlt.Relation, **place: str) -> str:
    """Return the query of a relation for a DuckDB database that has its tables elsewhere.

    Args:
        relation: A relation of a DuckDB or filesystem destination.
        place: Where the tables are: `catalog`, the name that their database is attached by, or
            `db`, a schema.
    """
    import sqlglot

    query = sqlglot.parse_one(relation.to_sql(), dialect="duckdb")
    for table in query.find_all(sqlglot.exp.Table):
        for part, name in place.items():
            table.set(part, sqlglot.exp.to_identifier(name, quoted=True))
    return query.sql(dialect="duckdb")
