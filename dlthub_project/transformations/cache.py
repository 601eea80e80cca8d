"""A cache: the DuckDB database between what a transformation reads and what it writes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from dlthub_project.catalog import Catalog
from dlthub_project.dlt_internals.relations import quoted
from dlthub_project.entities import EntryPosition
from dlthub_project.errors import DatasetNotLoaded, ProjectError
from dlthub_project.transformations.cache_database import CacheTables, dataset_of, opened
from dlthub_project.transformations.cache_inputs import (
    InputDataset,
    InputTables,
    check_names,
    loads_of,
)
from dlthub_project.transformations.cache_outputs import Made, OutputDataset, schema_name
from dlthub_project.transformations.declarations import (
    CacheInfo,
    CacheInput,
    Flushed,
    OutputTable,
    declared_cache,
)
from dlthub_project.transformations.load_plan import Offer, Plan, make_offers

if TYPE_CHECKING:
    import dlt

    from dlthub_project.entities import DltEntityFactory
    from dlthub_project.transformations.engines import Engine


logger = logging.getLogger(__name__)


class Cache:
    """One cache of a project. Different processes may do its steps.

    Attributes:
        name: Its name.
        path: The DuckDB file.
    """

    def __init__(self, entities: DltEntityFactory, name: str) -> None:
        """Read the entry in the manifest; connect to nothing, and make nothing.

        Raises:
            EntityNotFound: The manifest does not declare the cache.
            ManifestError: Its entry uses an environment variable that is not set.
        """
        self.name = name
        self._entities = entities
        self._declared = declared_cache(entities.project, name)
        # a hyphen: DuckDB confuses a database and a schema of one name
        file = f"{schema_name(name)}-database.duckdb"
        self.path = Path(entities.project.data_dir, "caches", file)
        self._plan_path = self.path.with_suffix(".json")
        self._lock = FileLock(str(self.path.with_suffix(".lock")))
        self._blocks = 0
        # no other process writes to the outputs of the cache while this one holds its lock
        self._opened: dict[str, OutputDataset] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from using the cache in a block. Blocks may be nested."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._blocks += 1
            try:
                yield
            finally:
                self._blocks -= 1
                if not self._blocks:
                    self._opened.clear()

    @property
    def inputs(self) -> Sequence[CacheInput]:
        """The datasets that it reads, as declared."""
        return self._declared.inputs

    def outputs(self, made: Iterable[str] = ()) -> list[OutputTable]:
        """Return the tables to write. An output that names no tables takes all of `made`."""
        return self._declared.outputs(made)

    def verify_inputs(self) -> None:
        """Make sure that all inputs can be read.

        Raises:
            DatasetNotLoaded: Datasets or tables are missing. The error names the pipelines that
                load them.
            ProjectError: The cache has no input, or two inputs have tables of one name.
        """
        self._inputs()

    def populate(self, outputs: Sequence[OutputTable] | None = None) -> None:
        """Fill the cache anew with the loads that its output tables have not seen yet.

        Args:
            outputs: The tables to write; None for all that the manifest names.

        Raises:
            DatasetNotLoaded: Datasets or tables of the inputs are missing.
            PipelineStepFailed: The destination of an output does not answer.
            ProjectError: Two inputs have tables of one name, or rows do not tell their load.
        """
        with self.locked():
            inputs = self._inputs()
            wanted = self.outputs() if outputs is None else outputs
            if not wanted:
                raise ProjectError(
                    f"{self._position}: cache `{self.name}` has no output.",
                    "Name a dataset below `outputs`, and its tables.",
                )
            processed = {
                output: loads
                for dataset in self._output_datasets(wanted)
                for output, loads in dataset.processed(
                    output for output in wanted if output.dataset == dataset.dataset
                ).items()
            }
            listed = list(loads_of(inputs))
            untold = [f"{i.declared.dataset}.{table}" for i in inputs for table in i.untold()]
            declared = [source.declared for source in inputs]
            offers = make_offers(declared, wanted, listed, processed, untold)
            before = Plan.read(self._plan_path)
            self._remove()
            plan = dataclasses.replace(self._fill(inputs, offers), untold=untold)
            plan.write(self._plan_path)
            is_decided = all(output.says_how for output in wanted)
            if untold and not is_decided and (before is None or list(before.untold) != untold):
                self._say_what_is_replaced(untold)

    def is_populated_with(self, outputs: Sequence[OutputTable]) -> bool:
        """Tell whether the cache holds new loads for any of these tables."""
        return any(output in offer.outputs for offer in self._plan().offers for output in outputs)

    def transform(self, engine: Engine) -> None:
        """Make the tables of an engine in the cache, once for each offer.

        Raises:
            ProjectError: The cache is not populated, or its inputs are no longer readable.
        """
        with self.locked(), ExitStack() as stack:
            plan = self._plan()
            if not plan.offers:
                return
            connection = stack.enter_context(opened(self.path, plan.attached))
            self._reach_files(plan, connection, stack)
            for offer in plan.offers:
                self._check_made(engine, offer)
                tables = CacheTables(self.path, plan.attached, connection, offer)
                for table in engine.table_names():
                    tables.drop(table)
                engine.make_tables(tables)
            plan.write(self._plan_path)

    def flush(self, outputs: Sequence[OutputTable] | None = None, **options: Any) -> Flushed:
        """Write the tables that engines have made to their datasets.

        A table is written once for the same loads, even if the first flush was killed.

        Args:
            outputs: The tables to write; None for all that the cache holds.
            **options: `observers`, `retry_policy` and `retry_pipeline_steps` of `runner`.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` raises it.
            ProjectError: The cache is not populated, or others have written its loads since.
        """
        flushed = Flushed()
        with self.locked():
            plan = self._plan()
            due = [
                (offer, output)
                for offer in plan.offers
                for output in offer.outputs
                if outputs is None or output in outputs
            ]
            for dataset in self._output_datasets([output for _, output in due]):
                mine = [(o, output) for o, output in due if output.dataset == dataset.dataset]
                tables = list(self._made(dataset, mine, plan))
                if tables:
                    info, rows = dataset.write(tables, **options)
                    flushed.add(dataset.dataset, info, rows)
        return flushed

    def dataset(self) -> dlt.Dataset:
        """Return the tables of the cache's first offer as a dataset of dlt.

        Raises:
            ProjectError: The cache is not populated, or no load is new.
        """
        plan = self._plan()
        if not plan.offers:
            raise ProjectError(f"Cache `{self.name}` holds nothing: no load is new.")
        return dataset_of(self.path, plan.offers[0])

    def drop(self) -> None:
        """Remove the database. The outputs still remember the loads that they have seen."""
        with self.locked():
            self._remove()

    def input_tables(self) -> list[str]:
        """Return the names that the tables of the inputs have in the cache.

        Raises:
            DatasetNotLoaded: An input that names no tables is missing.
        """
        named = [declared for declared in self._declared.inputs if declared.tables]
        names = [name for declared in named for name in (declared.tables or {}).values()]
        if len(named) == len(self._declared.inputs):
            return names
        return [name for source in self._inputs() for name in source.tables.values()]

    def made_tables(self) -> list[str]:
        """Return the tables that the cache holds; the tables of the inputs count."""
        plan = Plan.read(self._plan_path)
        offers = plan.offers if plan else ()
        return list(dict.fromkeys(table for offer in offers for table in offer.tables))

    def info(self) -> CacheInfo:
        """Return the declaration of the cache and the tables in it; connects to nothing."""
        return CacheInfo(
            name=self.name,
            path=str(self.path),
            inputs=[str(source) for source in self._declared.inputs],
            outputs=self._declared.output_lines(),
            holds=self.made_tables(),
        )

    def __repr__(self) -> str:
        return f"<Cache {self.name}: {self.path}>"

    def _inputs(self) -> list[InputDataset]:
        if not self._declared.inputs:
            raise ProjectError(
                f"{self._position}: cache `{self.name}` has no input.",
                "Name a dataset below `inputs`.",
            )
        opened_or_not = [self._open(declared) for declared in self._declared.inputs]
        found = [source for source in opened_or_not if isinstance(source, InputDataset)]
        missing = [error for error in opened_or_not if isinstance(error, DatasetNotLoaded)]
        if missing:
            raise DatasetNotLoaded(
                "\n".join(f"{self._position}: {error.reason}" for error in missing),
                "\n".join(dict.fromkeys(error.instruction for error in missing)),
            )
        check_names(found, self.name, self._position)
        return found

    def _open(self, declared: CacheInput) -> InputDataset | DatasetNotLoaded:
        try:
            dataset = Catalog(self._entities).dataset(declared.dataset)
            return InputDataset(declared, dataset, schema_name(self.name))
        except DatasetNotLoaded as error:
            return error

    def _output_datasets(self, outputs: Iterable[OutputTable]) -> list[OutputDataset]:
        names = dict.fromkeys(output.dataset for output in outputs)
        for name in names:
            if name not in self._opened:
                self._opened[name] = OutputDataset(self._entities, self.name, name)
        return [self._opened[name] for name in names]

    def _fill(self, inputs: Sequence[InputDataset], offers: Sequence[Offer]) -> Plan:
        if not offers:
            return Plan()
        with ExitStack() as stack:
            connection = stack.enter_context(opened(self.path, {}))
            input_tables = InputTables(connection, stack)
            for offer in offers:
                connection.execute(f"CREATE SCHEMA {quoted(offer.schema)}")
                # flush reads input tables that pass through, and only steps can read views
                passed = {output.made for output in offer.outputs}
                for source, loads in zip(inputs, offer.loads, strict=True):
                    for table, name in source.tables.items():
                        rows = source.rows(table, loads)
                        target = quoted(offer.schema, name)
                        input_tables.put(source, table, rows, target, copy=name in passed)
                        offer.inputs.append(name)
                        offer.tables[name] = source.described(table)
            return Plan(offers, input_tables.attached, input_tables.viewed)

    def _reach_files(self, plan: Plan, connection: Any, stack: ExitStack) -> None:
        """Tell DuckDB again how to read remote files: each connection forgets it."""
        input_tables = InputTables(connection, stack)
        for declared in self._declared.inputs:
            if declared.dataset in plan.viewed:
                source = self._open(declared)
                if isinstance(source, DatasetNotLoaded):
                    raise source
                input_tables.scanner(source)

    def _check_made(self, engine: Engine, offer: Offer) -> None:
        inputs = {name.lower() for name in offer.inputs}
        for table in engine.table_names():
            if table.lower() in inputs:
                raise ProjectError(
                    f"Table `{table}` of cache `{self.name}` is an input, and is made, too.",
                    "Give the input another name, below its `tables`.",
                )

    def _made(
        self, dataset: OutputDataset, due: Sequence[tuple[Offer, OutputTable]], plan: Plan
    ) -> Iterator[Made]:
        """Yield the tables that a dataset does not have yet."""
        processed = dataset.processed(output for _, output in due)
        for offer, output in due:
            done = processed[output]
            if all(set(ids) <= set(done.get(name, ())) for name, ids in offer.seen.items()):
                continue
            for ids, source in zip(offer.loads, self._declared.inputs, strict=True):
                if ids and set(ids) & set(done.get(source.dataset, ())):
                    raise ProjectError(
                        f"Table `{output.dataset}.{output.name}` has seen loads since cache "
                        f"`{self.name}` was populated with them.",
                        "Populate it again.",
                    )
            made = dataset_of(self.path, offer)
            rows = made.table(output.made) if output.made in offer.tables else None
            how = "replace" if plan.replaces(output) else output.write_disposition
            yield Made(dataclasses.replace(output, write_disposition=how), rows, offer.seen)

    def _say_what_is_replaced(self, untold: Sequence[str]) -> None:
        logger.warning(
            "%s: cache `%s` replaces the outputs that have no `write_disposition` with what is "
            "made of all rows each time: the rows of %s do not say which load has brought "
            "them, because they were loaded as frames or Arrow. To append what is new, load them "
            "with `normalize.parquet_normalizer.add_dlt_load_id` set to true.",
            self._position,
            self.name,
            ", ".join(f"`{table}`" for table in untold),
        )

    def _plan(self) -> Plan:
        plan = Plan.read(self._plan_path)
        if plan is None:
            raise ProjectError(f"Cache `{self.name}` is not populated.", "Call populate() first.")
        return plan

    def _remove(self) -> None:
        for path in (self._plan_path, self.path, Path(f"{self.path}.wal")):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    @property
    def _position(self) -> EntryPosition:
        return EntryPosition(self._entities.project, "caches", self.name)
