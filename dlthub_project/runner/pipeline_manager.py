"""Runs the pipelines that a project declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dlthub_project.entities import HasProject, entities_of
from dlthub_project.runner.declared_runs import run_declared
from dlthub_project.runner.many_pipelines import PipelineEvent, run_many

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import dlt
    from dlt.common.pipeline import LoadInfo

    from dlthub_project.runner.pipeline_results import PipelineResults


class PipelineManager:
    """Runs the pipelines of one project."""

    def __init__(self, project: HasProject) -> None:
        """Make the runner of a project, its run context or its entities.

        Raises:
            TypeError: It is made of anything else.
        """
        self.entities = entities_of(project)

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
        """Run a declared pipeline as its `run_config` says.

        Args:
            name: The pipeline.
            limit: The number of pages that each resource yields at most.
            resources: The resources to load; None for all resources that the sources select.
            data: What to load instead of the declared sources.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.
            observers: Objects that hear of each step; see `Observers`.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Returns:
            What this run loaded. Packages that an earlier run left pending are not in it.

        Raises:
            EntityNotFound: There is no such pipeline, source, destination, dataset or resource.
            ManifestError: An entry uses an environment variable that is not set.
            PipelineStepFailed: As `dlt.Pipeline.run` raises it; that of the last attempt.
            SourceUsedUp: A retry had to extract again, and the data can be read only once.
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
        """Run a pipeline of `EntityFactory.get_pipeline`, with the arguments of `run_pipeline`."""
        return run_declared(
            self.entities,
            pipeline,
            limit=limit,
            resources=resources,
            data=data,
            observers=observers,
            **run_arguments,
        )

    def run_pipelines(
        self,
        names: str | Sequence[str] | None = None,
        *,
        max_workers: int | None = None,
        executor: Executor | None = None,
        fail_fast: bool = False,
        hear: Callable[[PipelineEvent], None] | None = None,
        **run_arguments: Any,
    ) -> PipelineResults:
        """Run several declared pipelines, side by side where they can.

        A pipeline runs after those that load what it reads: those that its `after` names, and those
        whose dataset or place its source names, in the manifest or in its function. Pipelines that
        write to one database file run one after another, even in several processes.

        Args:
            names: The pipelines; None for all of the project.
            max_workers: How many run at once at most; by default as many as this machine has
                cores. With 1, and in tests, they run in this process, one after another.
            executor: What runs them: threads, processes, or
                `dask.distributed.Client().get_executor(pure=False)`. None for new processes.
            fail_fast: Whether no other pipeline starts after one has failed.
            hear: Called with what happens, in this process, and in a thread of its own.
            **run_arguments: Arguments of `run_pipeline`, for each pipeline. They are pickled.

        Returns:
            What became of each pipeline, by its name, in the order of `names`. Errors of a
            pipeline are in it, as data, and not raised: see `raise_for_failures`.

        Raises:
            EntityNotFound: A pipeline, or an entity that it needs, is not declared.
            ManifestError: An entry uses an environment variable that is not set.
            ProjectError: A name is given twice, pipelines wait for each other, or workers of
                `executor` may not see the files that a pipeline writes to. Nothing has started.
            PipelinesInterrupted: Ctrl-C. Nothing new was started, and what ran has stopped at a
                safe point; the next runs go on. A second Ctrl-C is a `KeyboardInterrupt` at once.
        """
        named = self.entities.list_pipelines() if names is None else names
        return run_many(
            self.entities,
            [named] if isinstance(named, str) else list(named),
            max_workers=max_workers,
            executor=executor,
            fail_fast=fail_fast,
            hear=hear,
            arguments=run_arguments,
        )
