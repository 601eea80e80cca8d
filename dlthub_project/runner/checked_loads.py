"""Decides what follows if checks of the rows that a declared pipeline has loaded fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlthub_project.data_quality import CheckResults
from dlthub_project.data_quality.checked_pipelines import log_unstored, look_at_load
from dlthub_project.errors import LoadFailedChecks

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo

    from dlthub_project.runner.pipeline_runner import PipelineRunner

ON_FAILED_CHECK = ("warn", "fail", "stop")


def check_loaded(
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
