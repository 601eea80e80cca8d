"""Runs a transformation of a project for a test, on rows that the test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project import current
from dlthub_project.catalog import Catalog
from dlthub_project.dlt_internals import datasets as dlt_datasets
from dlthub_project.errors import DatasetNotLoaded, EntityNotFound, ProjectError, known_names
from pytest_dlthub.assertions import Rows
from pytest_dlthub.assertions.tables import TableReader
from pytest_dlthub.given import Given, given_items, located
from pytest_dlthub.pipeline_run import RowCounts
from pytest_dlthub.placeholders import placeholders

if TYPE_CHECKING:
    import dlt

    from dlthub_project.catalog import WritableDataset
    from dlthub_project.entity_factory import EntityFactory
    from dlthub_project.transformations import Cache, Flushed, Transformation

# for each input; None for all of its tables
_Tables = Mapping[str, Iterable[str] | None]
Entered = Callable[[], AbstractContextManager[Any]]


class ProjectTransformation:
    """A transformation of the project under test.

    Attributes:
        name: Its name.
    """

    def __init__(self, name: str, folder: Path, entered: Entered) -> None:
        """Create it; `DltProject.transformation` does.

        Args:
            name: Its name.
            folder: The folder of the test: paths of files are relative to it.
            entered: Enters the sandbox of the run.

        Raises:
            EntityNotFound: The project does not declare it, or its cache.
        """
        self.name = name
        self._folder = folder
        self._entered = entered
        with entered():
            current.entities().get_transformation(name)

    def run(self, *, given: Given | None = None, **run_arguments: Any) -> TransformationRun:
        """Populate the cache, transform, and write the outputs into temporary databases.

        Args:
            given: Rows of the cache's inputs, by table or by `dataset.table`: rows, a frame, an
                Arrow table, or the path of a file beside the test. They are added, as a new load,
                to the data that the test has loaded; it need not run a pipeline.
            **run_arguments: Arguments of `Transformation.run`: `observers` and the like.

        Raises:
            DatasetNotLoaded: The test has neither given nor loaded tables of the inputs.
            EntityNotFound: A name in `given` is no input.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
            ProjectError: A name in `given` is ambiguous or its value is no rows, or the project's
                code fails.
        """
        with self._entered(), nullcontext() if given is None else placeholders():
            # a new one, since another run may have changed the state of the last one
            transformation = current.entities().get_transformation(self.name)
            if given is not None:
                load_tables(current.entities(), transformation.cache, located(given, self._folder))
            flushed = transformation.run(**run_arguments)
            return TransformationRun(self, transformation, flushed, self._entered)

    def __repr__(self) -> str:
        return f"<ProjectTransformation {self.name}>"


class TransformationRun:
    """One finished run of a transformation, and the datasets that it writes.

    Counts are those of this run. Datasets, rows and tables are always the current ones, also
    after later runs.

    Attributes:
        flushed: The result of `Transformation.run`: dlt's load info and the rows by dataset.
        row_counts: Rows that this run wrote, by output table, or by `dataset.table` if two datasets
            have a table of that name; a table without rows is absent.
    """

    def __init__(
        self,
        harness: ProjectTransformation,
        transformation: Transformation,
        flushed: Flushed,
        entered: Entered,
    ) -> None:
        """Create the run; `ProjectTransformation.run` does."""
        self._harness = harness
        self._transformation = transformation
        self._entered = entered
        outputs = transformation.outputs()
        self._places = _by_name((output.dataset, output.name) for output in outputs)
        self.flushed = flushed
        self.row_counts: dict[str, int] = RowCounts(
            (name, flushed.rows[dataset][table])
            for name, (dataset, table) in self._places.items()
            if flushed.rows.get(dataset, {}).get(table)
        )

    @property
    def datasets(self) -> Mapping[str, WritableDataset]:
        """The datasets that it writes, by name, if they exist."""
        with self._entered():
            opened = {name: _opened(current.catalog(), name) for name in self._dataset_names()}
            return {name: dataset for name, dataset in opened.items() if dataset is not None}

    @property
    def dataset(self) -> WritableDataset:
        """The dataset that it writes.

        Raises:
            DatasetNotLoaded: Nothing has been written yet.
            ProjectError: There are several.
        """
        names = self._dataset_names()
        if len(names) > 1:
            raise ProjectError(
                f"Transformation `{self._harness.name}` writes several datasets.",
                f"Ask for one of them: `datasets[...]` with {known_names('', names)}",
            )
        with self._entered():
            return current.catalog().dataset(names[0])

    @property
    def cache(self) -> dlt.Dataset:
        """The tables that it has made in the cache, including those that are not outputs.

        Raises:
            ProjectError: The last run had nothing to do.
        """
        return self._transformation.cache.dataset()

    @property
    def tables(self) -> list[str]:
        """The names of the existing output tables, as `rows` takes them."""
        datasets = self.datasets
        return [
            name
            for name, (dataset, table) in self._places.items()
            if dataset in datasets and table in datasets[dataset].tables
        ]

    def rows(self, table: str, *names: str, **options: Any) -> Rows:
        """Return the rows of an output table, without dlt's own columns.

        Args:
            table: Its name, or `dataset.table` if two datasets have a table of that name.
            *names: Columns; the rows are tuples of these.
            **options: `columns`, `where`, `order_by` and the like, as `PipelineRun.rows` takes
                them.

        Raises:
            ValueError: There is no such column.
            EntityNotFound: The transformation writes no such table.
            ProjectError: Nothing has been written to it.
        """
        if table not in self._places:
            known = [f"{dataset}.{name}" for dataset, name in self._places.values()]
            if table not in known:
                raise EntityNotFound(
                    f"Transformation `{self._harness.name}` writes no table `{table}`. "
                    f"{known_names(table, self._places)}"
                )
            dataset, name = list(self._places.values())[known.index(table)]
        else:
            dataset, name = self._places[table]
        found = self.datasets.get(dataset)
        if found is None or name not in found.tables:
            raise ProjectError(
                f"Nothing was written to `{dataset}.{name}`.",
                f"Transformation `{self._harness.name}` had nothing to do, or made no such table.",
            )
        return TableReader(found, name).rows(names, **options)

    def next(self, *, given: Given | None = None, **run_arguments: Any) -> TransformationRun:
        """Run the transformation again on the state that it has now: "day 2".

        Args:
            given: New rows, as `ProjectTransformation.run` takes them; None for none.
            **run_arguments: Arguments of `Transformation.run`.

        Returns:
            That run alone: its row counts. The datasets are the same.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` does.
            ProjectError: See `ProjectTransformation.run`.
        """
        return self._harness.run(given=given, **run_arguments)

    def _dataset_names(self) -> list[str]:
        return list(dict.fromkeys(dataset for dataset, _ in self._places.values()))

    def __repr__(self) -> str:
        return f"<TransformationRun {self._harness.name}: {self.row_counts}>"


def _opened(catalog: Catalog, name: str) -> WritableDataset | None:
    """Return a dataset if it exists, else None."""
    try:
        dataset = catalog.dataset(name)
        return dataset if dataset.schemas else None
    except DatasetNotLoaded:
        return None


def _by_name(places: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Return datasets and tables by the name of the table, or by both if that is ambiguous."""
    distinct = list(dict.fromkeys(places))
    names = [table for _, table in distinct]
    return {
        table if names.count(table) == 1 else f"{dataset}.{table}": (dataset, table)
        for dataset, table in distinct
    }


def load_tables(entities: EntityFactory, cache: Cache, given: Given) -> None:
    """Add rows to tables of a cache's inputs; create datasets and tables as needed.

    Args:
        entities: The entities of the project.
        cache: The cache.
        given: Rows by table, or by `dataset.table`, as `DltProject.run` takes them.

    Raises:
        EntityNotFound: The cache has no such input.
        PipelineStepFailed: As `dlt.Pipeline.run` does.
        ProjectError: A name is ambiguous, or a value is no rows.
    """
    inputs = _tables_of(cache)
    # check all values before the first load
    found = [(*_place(name, inputs), given_items(name, value)) for name, value in given.items()]
    for dataset, table, items in found:
        _load(_opened_or_made(entities, dataset), table, items)


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
    """Return the dataset and the table for a name in `given`."""
    before, dot, table = name.rpartition(".")
    datasets = [d for d in inputs if not dot or d == before]
    listed = [d for d in datasets if _lists(inputs[d], table)]
    # datasets that list no tables may have it too, but only if none of the others lists it
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
    """Tell whether a table is in `tables`, or a nested table of it."""
    return any(each == table or each.startswith(f"{table}__") for each in tables or ())


def _opened_or_made(entities: EntityFactory, name: str) -> WritableDataset:
    """Return a dataset, after creating it if it does not exist."""
    catalog = Catalog(entities)
    if (opened := _opened(catalog, name)) is not None:
        return opened
    where = entities.datasets.locate(name)
    destination = entities.get_destination(where.destination_name)
    dlt_datasets.make_dataset(destination, where.dataset_name, _schema_name(entities, name))
    return catalog.dataset(name)


def _schema_name(entities: EntityFactory, dataset: str) -> str:
    """Return the schema of a dataset's first pipeline, as far as we can find out.

    Later in the test, that pipeline then goes on with the same schema.
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
