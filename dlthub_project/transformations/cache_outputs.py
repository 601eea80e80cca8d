"""Writes tables of a cache to a dataset, which remembers the loads that they were made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dlt

from dlthub_project.catalog import LosslessPipeline
from dlthub_project.dlt_internals import contexts, pipelines
from dlthub_project.runner import PipelineRunner, finish_pending, row_counts
from dlthub_project.transformations import queries
from dlthub_project.transformations.declarations import OutputTable
from dlthub_project.transformations.load_plan import Loads

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltResource, DltSource

    from dlthub_project.entities import DltEntityFactory


@dataclass(frozen=True)
class Made:
    """A table of the cache that a flush writes.

    Attributes:
        output: The table of the dataset, and how it is written.
        rows: The rows; None if the cache has no such table.
        seen: The loads that the table will have seen.
    """

    output: OutputTable
    rows: dlt.Relation | None
    seen: Loads


def schema_name(cache: str) -> str:
    """Return the name of the schema that a cache's outputs have in their datasets."""
    from dlt.common.schema.utils import normalize_schema_name

    return normalize_schema_name(f"{cache}_cache")


class OutputDataset:
    """A dataset that a cache writes to, by a pipeline of its own.

    Attributes:
        dataset: Its name.
        pipeline: The pipeline.
    """

    def __init__(self, entities: DltEntityFactory, cache: str, dataset: str) -> None:
        """Make the pipeline.

        Raises:
            EntityNotFound: The project has no such dataset or destination.
        """
        self.dataset = dataset
        self._name = schema_name(cache)
        asked_by = f"cache `{cache}`"
        location = entities.datasets.locate(dataset, asked_by=asked_by)
        self._contract = location.contract
        self._is_restored = False
        destination = entities.get_destination(location.destination_name, asked_by=asked_by)
        name = f"{self._name}__{dataset}"
        with contexts.no_active_pipeline():
            self.pipeline: dlt.Pipeline = pipelines.pipeline_of_class(
                LosslessPipeline,
                pipeline_name=name,
                destination=destination,
                dataset_name=location.dataset_name,
            )
        pipelines.use_local_dir(self.pipeline, entities.project.local_dir)

    def processed(self, outputs: Iterable[OutputTable]) -> dict[OutputTable, Loads]:
        """Return the loads that tables have seen, as the destination stores them.

        Packages that a killed run left pending are loaded first. State that this machine has lost
        is restored. So the answer covers everything that was ever written.

        Raises:
            PipelineStepFailed: The destination does not answer.
        """
        if not self._is_restored:
            with contexts.no_active_pipeline():
                finish_pending(self.pipeline)
                self.pipeline.activate()
                self.pipeline.sync_destination()
            pipelines.mark_restored(self.pipeline)
            self._is_restored = True
        stored = self.pipeline.state.get("sources", {}).get(self._name, {}).get("loads", {})
        return {output: stored.get(output.name, {}) for output in outputs}

    def write(self, tables: Iterable[Made], **options: Any) -> tuple[LoadInfo, dict[str, int]]:
        """Write tables, and the loads that they have seen, in one load package.

        Args:
            tables: The tables.
            **options: Further arguments of `PipelineRunner`.

        Returns:
            What was loaded, and the rows of each table.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` raises it.
        """
        arguments: dict[str, Any] = {}
        if self._contract is not None:
            arguments["schema_contract"] = self._contract
        with contexts.no_active_pipeline():
            info = PipelineRunner(self.pipeline, **options).run(
                self._source(list(tables)), **arguments
            )
        return info, row_counts(self.pipeline, info)

    def _source(self, tables: list[Made]) -> DltSource:
        seen = {made.output.name: made.seen for made in tables}

        @dlt.resource(name=f"{self._name}_loads")
        def loads() -> Iterator[Any]:
            # one load package has the rows and the state: the destination gets both or neither
            dlt.current.source_state().setdefault("loads", {}).update(_stored(seen))
            yield from ()

        @dlt.source(name=self._name)
        def cache() -> Any:
            return [*(_resource(made) for made in tables if made.rows is not None), loads]

        return cache()


def _stored(seen: Mapping[str, Loads]) -> dict[str, dict[str, list[str]]]:
    return {table: {d: list(ids) for d, ids in loads.items()} for table, loads in seen.items()}


def _resource(made: Made) -> DltResource:
    output = made.output
    rows = made.rows
    assert rows is not None

    def pages() -> Iterator[Any]:
        yield from queries.pages([rows], output.name)

    resource: DltResource = dlt.resource(
        pages,
        name=output.name,
        write_disposition=output.write_disposition,  # type: ignore[call-overload]  # the manifest is checked
        # for dlt, an empty key is a key: leave it out
        primary_key=list(output.primary_key) or None,
        merge_key=list(output.merge_key) or None,
    )
    return resource
