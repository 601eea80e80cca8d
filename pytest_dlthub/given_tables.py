"""Rows in place of what pipelines would have loaded: the inputs of a cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlthub_project.catalog import Catalog
from dlthub_project.dlt_internals import datasets as dlt_datasets
from dlthub_project.errors import DatasetNotLoaded, EntityNotFound, ProjectError, known_names
from pytest_dlthub.given import Given, given_items

if TYPE_CHECKING:
    from dlthub_project.catalog import WritableDataset
    from dlthub_project.entities import EntityFactory
    from dlthub_project.transformations import Cache

_Tables = Mapping[str, Iterable[str] | None]
"""The tables of each input; None for all that there are."""


def load_tables(entities: EntityFactory, cache: Cache, given: Given) -> None:
    """Add rows to tables of the inputs of a cache; datasets and tables are made as needed.

    Args:
        entities: The project's.
        cache: The cache.
        given: Rows by table, or by `dataset.table`, as `DltProject.run` takes them.

    Raises:
        EntityNotFound: The cache has no such input.
        PipelineStepFailed: As `dlt.Pipeline.run` does.
        ProjectError: A name is ambiguous, or a value no rows.
    """
    inputs = _tables_of(cache)
    # everything is looked at before anything is loaded
    found = [(*_place(name, inputs), given_items(name, value)) for name, value in given.items()]
    for dataset, table, items in found:
        _load(_opened(entities, dataset), table, items)


def _tables_of(cache: Cache) -> dict[str, list[str] | None]:
    tables: dict[str, list[str] | None] = {}
    for source in cache.inputs:
        known = tables.setdefault(source.dataset, [])
        if source.tables is None or known is None:
            tables[source.dataset] = None
        else:
            known.extend(source.tables)
    return tables


def _place(name: str, inputs: _Tables) -> tuple[str, str]:
    """Return the dataset and the table that a name of `given` stands for."""
    before, dot, table = name.rpartition(".")
    datasets = [d for d in inputs if not dot or d == before]
    listed = [d for d in datasets if _lists(inputs[d], table)]
    # one that names no tables may have it, too, but not in a cache where another names it
    found = listed or [d for d in datasets if inputs[d] is None]
    if not found:
        known = [f"{d}.{t}" for d, tables in inputs.items() for t in tables or ()]
        open_ones = [d for d, tables in inputs.items() if tables is None]
        others = f" Any table of {', '.join(f'`{d}`' for d in open_ones)}." if open_ones else ""
        short = [k.rpartition(".")[2] for k in known]
        names = known if dot or len(set(short)) < len(short) else short
        listing = known_names(name, names) if known or not open_ones else ""
        raise EntityNotFound(f"given: there is no input `{name}`. {listing}{others}")
    if len(found) > 1:
        listing = ", ".join(f"{dataset}.{table}" for dataset in found)
        raise ProjectError(f"given: `{name}` is ambiguous.", f"Name one of {listing}.")
    return found[0], table


def _lists(tables: Iterable[str] | None, table: str) -> bool:
    """Tell whether a table is among `tables`, or has a nested one there."""
    return any(each == table or each.startswith(f"{table}__") for each in tables or ())


def _opened(entities: EntityFactory, name: str) -> WritableDataset:
    """Return a dataset; it is made when it does not exist."""
    catalog = Catalog(entities)
    try:
        return catalog.dataset(name)
    except DatasetNotLoaded:
        where = entities.datasets.locate(name)
        destination = entities.get_destination(where.destination_name)
        schema_name = _schema_name(entities, name)
        dlt_datasets.make_dataset(destination, where.dataset_name, schema_name)
        return catalog.dataset(name)


def _schema_name(entities: EntityFactory, dataset: str) -> str:
    """Return the schema that the first pipeline of a dataset loads, as far as can be told.

    A pipeline that is run later in the test then goes on with the same one.
    """
    from dlt.common.schema.utils import normalize_schema_name

    loaders = entities.datasets.loaders_of(dataset)
    source = entities.project.pipelines[loaders[0]].get("source") if loaders else None
    return normalize_schema_name(source if isinstance(source, str) else dataset)


def _load(dataset: WritableDataset, table: str, items: list[Any]) -> None:
    rows = [item for page in items for item in (page if isinstance(page, list) else [page])]
    name = dataset.schema.naming.normalize_table_identifier(table)
    if rows:
        dataset.save(rows, table_name=table)
    elif not any(name in schema.tables for schema in dataset.schemas):
        raise ProjectError(
            f"given: `{table}` has no rows, and its columns are not known.",
            "Give an Arrow table or a frame that has columns and no rows.",
        )
