"""`dlt dataset`: what the datasets of a project hold, and how to drop one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import (
    activate,
    add_format_argument,
    at_least_one,
    named_entity,
    names_to_list,
)
from dlthub_project.cli.command import EntityCommand, Operation
from dlthub_project.cli.output import Facts, Table, confirm, show
from dlthub_project.errors import EntityNotFound, known_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dlt

    from dlthub_project.catalog import WritableDataset

_OWN = "_dlt_"


def _list(args: argparse.Namespace) -> None:
    from dlthub_project.entities import DatasetLocation, Datasets

    project = activate(args).project
    datasets, declared = Datasets(project), project.manifest.names("datasets")
    located = datasets.locate_all()
    wanted = names_to_list(args, "dataset", located)
    entries = [
        {
            "name": name,
            "destination": where.destination_name if isinstance(where, DatasetLocation) else None,
            "declared": name in declared,
            "pipelines": datasets.loaders_of(name),
        }
        for name, where in located.items()
        if name in wanted
    ]
    rows = [tuple(entry.values()) for entry in entries]
    show(args, entries, Table(("dataset", "destination", "declared", "loaded by"), rows))


def _info(args: argparse.Namespace) -> None:
    from dlthub_project import current
    from dlthub_project.catalog import place_of

    dataset, where = _opened_dataset(args)
    tables = _tables(dataset, args.schema)
    document = {
        "name": dataset.dataset_name,
        "destination": where,
        "place": place_of(current.entities(), where),
        "schemas": [schema.name for schema in dataset.schemas],
        "tables": [
            {"name": name, "columns": [_column(*item) for item in columns.items()]}
            for name, columns in tables.items()
        ],
    }
    facts = {key: value for key, value in document.items() if key != "tables"}
    rows = [(name, _described(columns)) for name, columns in tables.items()]
    show(args, document, Facts(facts), Table(("table", "columns"), rows))


def _row_counts(args: argparse.Namespace) -> None:
    dataset, where = _opened_dataset(args)
    with dataset:
        counts = _counts(dataset, _tables(dataset, args.schema))
    title = f"{dataset.dataset_name}@{where}"
    show(args, counts, Table(("table", "rows"), list(counts.items()), title, "no tables"))


def _head(args: argparse.Namespace) -> None:
    dataset, _ = _opened_dataset(args)
    tables = _tables(dataset, args.schema, with_own=True)
    if args.table not in tables:
        known = known_names(args.table, [t for t in tables if not t.startswith(_OWN)])
        raise EntityNotFound(
            f"There is no table `{args.table}` in dataset `{dataset.dataset_name}`. {known}"
        )
    columns = [
        name
        for name in tables[args.table]
        if args.all_columns or not name.startswith(_OWN) or args.table.startswith(_OWN)
    ]
    with dataset:
        rows = dataset.table(args.table).select(*columns).limit(args.limit).fetchall()
    document = [dict(zip(columns, row, strict=True)) for row in rows]
    show(args, document, Table(columns, rows, empty=f"{args.table}: no rows"))


def _drop(args: argparse.Namespace) -> None:
    from dlthub_project import current
    from dlthub_project.catalog import drop_dataset, place_of

    dataset, where = _opened_dataset(args)
    name = dataset.dataset_name
    with dataset:
        counts = _counts(dataset, _tables(dataset, None))
    held = ", ".join(f"{table} ({rows:,})" for table, rows in counts.items()) or "no tables"
    place = place_of(current.entities(), where)
    confirm(f"Drop dataset `{name}` on destination `{where}` ({place}) with its rows: {held}?")
    drop_dataset(dataset)
    document = {"name": name, "destination": where, "dropped": counts}
    show(args, document, f"Dropped dataset `{name}` on destination `{where}`.")


def _opened_dataset(args: argparse.Namespace) -> tuple[WritableDataset, str]:
    """Return the dataset that the arguments name, which must exist, and its destination.

    Raises:
        DatasetNotLoaded: It does not exist yet.
        EntityNotFound: The project does not know it.
    """
    from dlthub_project import current

    activate(args)
    entities = current.entities()
    name = named_entity(args, "dataset", entities.list_datasets())
    where = entities.datasets.locate(name, args.destination).destination_name
    dataset = current.catalog().dataset(name, args.destination)
    # a declared dataset that does not exist raises its error only when it is read
    _ = dataset.schemas
    return dataset, where


def _tables(
    dataset: dlt.Dataset, schema: str | None, *, with_own: bool = False
) -> dict[str, Mapping[str, Any]]:
    """Return the columns of each table, of all schemas or of one.

    Raises:
        EntityNotFound: The dataset has no such schema.
    """
    names = [found.name for found in dataset.schemas]
    if schema is not None and schema not in names:
        raise EntityNotFound(
            f"There is no schema `{schema}` in dataset `{dataset.dataset_name}`. "
            f"{known_names(schema, names)}"
        )
    tables = {
        # the destination lacks columns without a type, and tables that have never had a row
        name: {key: column for key, column in table["columns"].items() if "data_type" in column}
        for found in dataset.schemas
        if schema in (None, found.name)
        for name, table in found.tables.items()
        if (with_own if name.startswith(_OWN) else table in found.data_tables(True))
    }
    return dict(sorted(tables.items()))


def _counts(dataset: dlt.Dataset, tables: Mapping[str, object]) -> dict[str, int]:
    if not tables:
        return {}
    return dict(dataset.row_counts(table_names=list(tables)).fetchall())


def _column(name: str, column: Mapping[str, Any]) -> dict[str, object]:
    return {
        "name": name,
        "data_type": column.get("data_type"),
        "nullable": column.get("nullable", True),
        "primary_key": bool(column.get("primary_key")),
    }


def _described(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{name} {column.get('data_type')}{' key' if column.get('primary_key') else ''}"
        for name, column in columns.items()
        if not name.startswith(_OWN)
    ]


def _of_dataset(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser)
    parser.add_argument(
        "--destination", metavar="NAME", help="Where it is; by default its first destination."
    )


def _of_tables(parser: argparse.ArgumentParser) -> None:
    _of_dataset(parser)
    parser.add_argument("--schema", metavar="NAME", help="Only the tables of this schema.")


def _of_head(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE", help="The table.")
    parser.add_argument(
        "--limit", type=at_least_one, default=5, metavar="N", help="At most N rows; by default 5."
    )
    parser.add_argument(
        "--all-columns", action="store_true", help="Also dlt's own columns, `_dlt_id` and the like."
    )
    _of_tables(parser)


class DatasetCommand(EntityCommand):
    """Adds `dlt dataset`."""

    command = "dataset"
    help_string = "List, read and drop the datasets of a project"
    takes_name = True
    operations = (
        Operation("list", "List the datasets; connect to nothing", _list, add_format_argument),
        Operation("info", "Show where a dataset is, its schemas and tables", _info, _of_tables),
        Operation("row-counts", "Count the rows of its tables", _row_counts, _of_tables),
        Operation("head", "Show the first rows of a table", _head, _of_head),
        Operation("drop", "Remove a dataset at its destination; asks first", _drop, _of_dataset),
    )
