"""Runs a pipeline as its `run_config` in the manifest says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dlthub_project.context import run_config_value
from dlthub_project.data_quality import CheckResults
from dlthub_project.data_quality.checked_pipelines import log_unstored, look_at_load
from dlthub_project.dlt_internals import pipelines
from dlthub_project.entities import DltEntityFactory
from dlthub_project.errors import EntityNotFound, LoadFailedChecks, ProjectError, known_names
from dlthub_project.runner.pipeline_runner import PipelineRunner, StoreTraceInfo
from dlthub_project.runner.run_data import narrowed

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltSource

_NUMBERS = {"max_attempts": int, "multiplier": float, "min": float, "max": float}
_ON_FAILED_CHECK = ("warn", "fail", "stop")


def run_declared(
    entities: DltEntityFactory,
    pipeline: dlt.Pipeline,
    *,
    limit: int | None = None,
    resources: Sequence[str] | None = None,
    data: Any = None,
    observers: Iterable[object] = (),
    before: Collection[str] | None = None,
    **run_arguments: Any,
) -> LoadInfo:
    """Run a pipeline of `entities`; see `PipelineManager.run`.

    With `before`, finish the run of a process that died; see `PipelineRunner.resume`.
    """
    config = run_config(pipeline.pipeline_name)
    runner = PipelineRunner(
        pipeline,
        _trace_pipeline(entities, pipeline.pipeline_name, config.store_trace_info),
        config.run_from_clean_folder,
        config.retry_policy,
        config.retry_pipeline_steps,
        observers,
    )
    contract = entities.datasets.contract_of(pipelines.requested_dataset_name(pipeline))
    if contract is not None:
        run_arguments.setdefault("schema_contract", contract)

    def declared() -> Any:
        return narrowed(_declared_sources(entities, pipeline.pipeline_name), resources, limit)

    if before is not None:
        info = runner.resume(before)
    elif data is not None:
        info = runner.run(narrowed(data, resources, limit), **run_arguments)
    else:
        info = runner.run_made(declared, **run_arguments)
    is_narrow = data is not None or resources is not None or limit is not None
    is_whole = not is_narrow and _loads_alone(entities, pipeline)
    _check_loaded(runner, info, config.on_failed_check, is_whole=is_whole)
    return info


def _check_loaded(
    runner: PipelineRunner,
    info: LoadInfo,
    on_failed_check: str,
    *,
    is_whole: bool,
) -> None:
    """Check what a pipeline has loaded, and tell observers.

    Args:
        runner: The runner that has run it.
        info: What was loaded.
        on_failed_check: With `warn`, a failure is told; with `fail` or `stop`, it is an error.
        is_whole: Whether all of the dataset has been loaded.

    Raises:
        LoadFailedChecks: Checks of severity `error` have failed, or could not be asked.
    """
    name = runner.pipeline.pipeline_name
    try:
        results = look_at_load(runner.pipeline, info, is_whole=is_whole)
    except Exception as error:
        if on_failed_check == "warn":
            log_unstored(runner.pipeline, error)
            return
        results = CheckResults([])
        told = [f"its checks cannot be asked: {type(error).__name__}: {error}"]
    else:
        if results:
            runner.tell_checks(results)
        if results.is_ok or on_failed_check == "warn":
            return
        bad = [f"  {result}" for result in results.failed if result.severity == "error"]
        told = [f"{len(bad)} {'check has' if len(bad) == 1 else 'checks have'} failed:", *bad]
    raise LoadFailedChecks(
        "\n".join([f"Pipeline `{name}` has loaded, and {told[0]}", *told[1:]]),
        "The rows are at the destination. "
        f"pipelines.{name}.run_config.on_failed_check is `{on_failed_check}`: `warn` only warns.",
        results,
        info,
        is_stopping=on_failed_check == "stop",
    )


def _loads_alone(entities: DltEntityFactory, pipeline: dlt.Pipeline) -> bool:
    """Tell whether no other declared pipeline loads the dataset."""
    name = pipelines.requested_dataset_name(pipeline)
    return entities.datasets.loaders_of(name) == [pipeline.pipeline_name]


def _trace_pipeline(entities: DltEntityFactory, pipeline: str, named: bool | str) -> StoreTraceInfo:
    """Return a function that makes the pipeline which stores the traces of `pipeline`."""
    if isinstance(named, bool):
        return named
    if named == pipeline:
        raise ProjectError(
            f"pipelines.{pipeline}.run_config.store_trace_info names the pipeline itself.",
            "Name another pipeline, or write `true`: the runner then makes one for traces.",
        )
    # a wrong name is an error before the run; the pipeline is made with the first trace
    entities.datasets.locate_pipeline(named)
    return partial(entities.get_pipeline, named)


def _declared_sources(entities: DltEntityFactory, pipeline: str) -> list[DltSource]:
    factories = entities.get_pipeline_sources(pipeline)
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
        on_failed_check: What follows when checks fail: `warn`, `fail` or `stop`.
    """

    store_trace_info: bool | str = False
    run_from_clean_folder: bool = False
    retry_policy: dict[str, Any] | None = None
    retry_pipeline_steps: list[str] | None = None
    on_failed_check: str = "warn"


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
        _on_failed_check(pipeline),
    )


def _on_failed_check(pipeline: str) -> str:
    found: str = run_config_value(pipeline, ["on_failed_check"], str) or "warn"
    if found not in _ON_FAILED_CHECK:
        # the value comes from a TOML file or a variable, which nobody has validated
        raise ProjectError(
            f"pipelines.{pipeline}.run_config.on_failed_check is `{found}`. "
            f"{known_names(found, _ON_FAILED_CHECK)}",
            "Name one of these.",
        )
    return found


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
