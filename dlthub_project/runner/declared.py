"""Runs the pipelines that a project declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dlthub_project.dlt_internals import pipelines
from dlthub_project.entities import EntityFactory
from dlthub_project.errors import EntityNotFound, ProjectError
from dlthub_project.runner.config import run_config
from dlthub_project.runner.run import PipelineRunner, StoreTraceInfo
from dlthub_project.runner.selection import narrowed

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltSource


class PipelineManager:
    """Runs the pipelines of one project."""

    def __init__(self, entities: EntityFactory) -> None:
        self.entities = entities

    def run_pipeline(
        self,
        name: str,
        *,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        data: Any = None,
        destination: str | None = None,
        dataset_name: str | None = None,
        observers: Iterable[object] = (),
        **run_arguments: Any,
    ) -> LoadInfo:
        """Run a declared pipeline, as its `run_config` says.

        Args:
            name: The pipeline.
            limit: The number of pages that each resource yields at most.
            resources: The resources to load; None for all that the sources select.
            data: What to load instead of the declared sources.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.
            observers: Objects that are told of what happens; see `Observers`.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Returns:
            What was loaded, without what an earlier run had left pending.

        Raises:
            EntityNotFound: The pipeline, a source, destination, dataset or resource is not known.
            ManifestError: It uses an environment variable that is not set.
            PipelineStepFailed: As `dlt.Pipeline.run` does; the last one, where it was retried.
            SourceUsedUp: Step `extract` was to be retried, and the data can be read only once.
        """
        pipeline = self.entities.get_pipeline(
            name, destination=destination, dataset_name=dataset_name
        )
        return self.run(
            pipeline,
            limit=limit,
            resources=resources,
            data=data,
            observers=observers,
            **run_arguments,
        )

    def run(
        self,
        pipeline: dlt.Pipeline,
        *,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        data: Any = None,
        observers: Iterable[object] = (),
        **run_arguments: Any,
    ) -> LoadInfo:
        """Run a pipeline that `EntityFactory.get_pipeline` gave; arguments as `run_pipeline`."""
        config = run_config(pipeline.pipeline_name)
        runner = PipelineRunner(
            pipeline,
            self._trace_pipeline(pipeline.pipeline_name, config.store_trace_info),
            config.run_from_clean_folder,
            config.retry_policy,
            config.retry_pipeline_steps,
            observers,
        )
        contract = self.entities.datasets.contract_of(pipelines.requested_dataset_name(pipeline))
        if contract is not None:
            run_arguments.setdefault("schema_contract", contract)
        if data is not None:
            return runner.run(narrowed(data, resources, limit), **run_arguments)

        def declared() -> Any:
            return narrowed(self._declared_sources(pipeline.pipeline_name), resources, limit)

        return runner.run_made(declared, **run_arguments)

    def _trace_pipeline(self, pipeline: str, named: bool | str) -> StoreTraceInfo:
        """Return what makes the pipeline that stores the traces of another one, if it is named."""
        if isinstance(named, bool):
            return named
        if named == pipeline:
            raise ProjectError(
                f"pipelines.{pipeline}.run_config.store_trace_info names the pipeline itself.",
                "Name another pipeline, or `true` for one that is made for the purpose.",
            )
        # said before the run; a pipeline is made only when there is a trace
        self.entities.datasets.locate_pipeline(named)
        return partial(self.entities.get_pipeline, named)

    def _declared_sources(self, pipeline: str) -> list[DltSource]:
        factories = self.entities.get_pipeline_sources(pipeline)
        if not factories:
            raise EntityNotFound(
                f"Pipeline `{pipeline}` declares no source, and no data are given.",
                f"Set pipelines.{pipeline}.source, or call run_pipeline(..., data=...).",
            )
        return [factory() for factory in factories]
