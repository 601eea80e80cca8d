"""Runs the pipelines that a project declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dlt.extract import DltSource

from dlthub_project.context import run_config_value
from dlthub_project.dlt_internals import pipelines
from dlthub_project.entities import HasProject, entities_of
from dlthub_project.errors import EntityNotFound, ProjectError
from dlthub_project.runner.pipeline_runner import PipelineRunner, StoreTraceInfo
from dlthub_project.runner.run_data import narrowed

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltSource

    from dlthub_project.runner.many_pipelines import PipelineEvent
    from dlthub_project.runner.pipeline_results import PipelineResults

_NUMBERS = {"max_attempts": int, "multiplier": float, "min": float, "max": float}


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
        write to one database file run one after another, those of other processes too.

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
        # here, and not above: it needs this class
        from dlthub_project.runner.many_pipelines import run_many

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

    def _trace_pipeline(self, pipeline: str, named: bool | str) -> StoreTraceInfo:
        """Return a function that makes the pipeline which stores the traces of `pipeline`."""
        if isinstance(named, bool):
            return named
        if named == pipeline:
            raise ProjectError(
                f"pipelines.{pipeline}.run_config.store_trace_info names the pipeline itself.",
                "Name another pipeline, or write `true`: the runner then makes one for traces.",
            )
        # a wrong name is an error before the run; the pipeline is made with the first trace
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


@dataclass(frozen=True)
class RunConfig:
    """The `run_config` of a pipeline.

    Attributes:
        store_trace_info: Whether traces are stored, or the name of the pipeline that stores them.
        run_from_clean_folder: Whether the working folder is dropped before the run.
        retry_policy: How often, and after how long, a failed step runs again; None for never.
        retry_pipeline_steps: The steps that may run again; None for the default.
    """

    store_trace_info: bool | str = False
    run_from_clean_folder: bool = False
    retry_policy: dict[str, Any] | None = None
    retry_pipeline_steps: list[str] | None = None


def run_config(pipeline: str) -> RunConfig:
    """Return the `run_config` of a pipeline of the active project, from all layers.

    Raises:
        ManifestError: A value uses an environment variable that is not set.
        ConfigValueCannotBeCoercedException: A value has another type.
    """
    return RunConfig(
        _flag_or_name(run_config_value(pipeline, ["store_trace_info"], str)),
        bool(run_config_value(pipeline, ["run_from_clean_folder"], bool)),
        _policy(pipeline),
        run_config_value(pipeline, ["retry_pipeline_steps"], list[str]),
    )


def _policy(pipeline: str) -> dict[str, Any] | None:
    policy_type = run_config_value(pipeline, ["retry_policy", "type"], str)
    if policy_type is None or policy_type == "none":
        return None
    values = {
        key: run_config_value(pipeline, ["retry_policy", key], hint)
        for key, hint in _NUMBERS.items()
    }
    return {
        "type": policy_type,
        **{key: value for key, value in values.items() if value is not None},
    }


def _flag_or_name(value: str | None) -> bool | str:
    flags = {"": False, "false": False, "true": True}
    return False if value is None else flags.get(value.lower(), value)
