"""Runs the pipelines that a project declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlthub_project import dlt_internals
from dlthub_project.entities import EntityFactory
from dlthub_project.errors import EntityNotFound, ManifestError
from dlthub_project.runner.run import PipelineRunner
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
        **run_arguments: Any,
    ) -> LoadInfo:
        """Run a declared pipeline.

        Args:
            name: The pipeline.
            limit: The number of pages that each resource yields at most.
            resources: The resources to load; None for all that the sources select.
            data: What to load instead of the declared sources.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Raises:
            EntityNotFound: The pipeline, a source, destination, dataset or resource is not known.
            ManifestError: The pipeline declares a `run_config`, or uses an environment variable
                that is not set.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
        """
        pipeline = self.entities.get_pipeline(
            name, destination=destination, dataset_name=dataset_name
        )
        return self.run(pipeline, limit=limit, resources=resources, data=data, **run_arguments)

    def run(
        self,
        pipeline: dlt.Pipeline,
        *,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        data: Any = None,
        **run_arguments: Any,
    ) -> LoadInfo:
        """Run a pipeline that `EntityFactory.get_pipeline` gave; arguments as `run_pipeline`."""
        self._check_run_config(pipeline.pipeline_name)
        loaded = self._declared_sources(pipeline.pipeline_name) if data is None else data
        loaded = narrowed(loaded, resources, limit)
        contract = self.entities.contract_of(dlt_internals.requested_dataset_name(pipeline))
        if contract is not None:
            run_arguments.setdefault("schema_contract", contract)
        return PipelineRunner(pipeline).run(loaded, **run_arguments)

    def _check_run_config(self, pipeline: str) -> None:
        """Refuse what nobody implements yet, rather than run as if it were not there."""
        manifest = self.entities.project.manifest
        declared = manifest.section("pipelines").get(pipeline, {}).get("run_config")
        if declared:
            path = ("pipelines", pipeline, "run_config")
            message = "is not implemented yet; leave it out to run the pipeline once"
            raise ManifestError([manifest.problem(path, message)])

    def _declared_sources(self, pipeline: str) -> list[DltSource]:
        factories = self.entities.get_pipeline_sources(pipeline)
        if not factories:
            raise EntityNotFound(
                f"Pipeline `{pipeline}` declares no source, and no data are given.",
                f"Set pipelines.{pipeline}.source, or call run_pipeline(..., data=...).",
            )
        return [factory() for factory in factories]
