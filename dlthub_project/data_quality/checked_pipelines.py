"""Pipelines that look at what they have loaded, and store what they find."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common import logger

from dlthub_project.data_quality.check_results import CheckResults
from dlthub_project.data_quality.loaded_data import check_load, measure_load
from dlthub_project.data_quality.stored_results import store_results
from dlthub_project.dlt_internals import configuration
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo


def enable_data_quality(pipeline: dlt.Pipeline) -> dlt.Pipeline:
    """Have a pipeline look at what it loads, after each `run` and each `load`.

    The checks and metrics are those that resources bring with them (`with_checks`,
    `with_metrics`). What they find is stored (see `store_results`), and each check that fails is
    logged as a warning; the run goes on. If nothing can be stored, that is logged, too.

    Args:
        pipeline: The pipeline; for this object, until the process ends.

    Returns:
        The same pipeline.

    Raises:
        TypeError: It is no pipeline.
    """
    if not isinstance(pipeline, dlt.Pipeline):
        raise TypeError(f"enable_data_quality: {type(pipeline).__name__} is no pipeline")
    # dlt may look up a secret from now on, and a stored key may hold it
    configuration.register_secrets()
    if not isinstance(pipeline, CheckedPipeline):
        pipeline.__class__ = _checked(type(pipeline))
    return pipeline


class CheckedPipeline(dlt.Pipeline):
    """The class of a pipeline after `enable_data_quality`."""

    # `run` calls `load`
    _is_within = False

    def run(self, *args: Any, **kwargs: Any) -> LoadInfo:
        return self._checked(super().run, *args, **kwargs)

    def load(self, *args: Any, **kwargs: Any) -> LoadInfo:
        return self._checked(super().load, *args, **kwargs)

    def _checked(self, function: Callable[..., LoadInfo], *args: Any, **kwargs: Any) -> LoadInfo:
        if self._is_within:
            return function(*args, **kwargs)
        self._is_within = True
        try:
            info = function(*args, **kwargs)
        finally:
            self._is_within = False
        if info is not None:
            try:
                look_at_load(self, info)
            except Exception as error:
                log_unstored(self, error)
        return info


@cache
def _checked(kind: type[dlt.Pipeline]) -> type[dlt.Pipeline]:
    if kind is dlt.Pipeline:
        return CheckedPipeline
    return type(kind.__name__, (CheckedPipeline, kind), {})


def look_at_load(pipeline: dlt.Pipeline, info: LoadInfo, *, is_whole: bool = False) -> CheckResults:
    """Look at what a pipeline has loaded, log what fails, and store what is found.

    Args:
        pipeline: The pipeline.
        info: What it returned.
        is_whole: See `check_load`.

    Returns:
        What its checks have found.

    Raises:
        ManifestError: What `dlt.yml` declares uses an environment variable that is not set.
    """
    results = check_load(pipeline, info, is_whole=is_whole)
    for result in results.failed:
        logger.warning(KNOWN.masked(f"Pipeline {pipeline.pipeline_name}: {result}"))
    try:
        metrics = measure_load(pipeline, info, is_whole=is_whole)
        for metric in metrics:
            if metric.error:
                logger.warning(KNOWN.masked(f"Pipeline {pipeline.pipeline_name}: {metric}"))
        store_results(pipeline, info, results, metrics)
    except Exception as error:
        log_unstored(pipeline, error)
    return results


def log_unstored(pipeline: dlt.Pipeline, error: Exception) -> None:
    """Log why nothing is stored; raise nothing, for a retry would load the loaded rows again."""
    logger.error(
        KNOWN.masked(
            f"Pipeline {pipeline.pipeline_name}: what its checks and metrics have found is "
            f"not stored: {type(error).__name__}: {error}"
        )
    )
