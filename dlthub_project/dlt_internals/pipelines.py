"""dlt's pipelines: their folders and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import (
    PluggableRunContext,
)
from dlt.common.destination import Destination

if TYPE_CHECKING:
    pass


def use_local_dir(pipeline: dlt.Pipeline, local_dir: str) -> None:
    """Have the files of a pipeline's destinations in `local_dir`.

    A pipeline keeps the folder of its first run, which may have been that of another profile.
    """
    if pipeline.get_local_state_val("initial_cwd") == local_dir:
        return
    pipeline.set_local_state_val("initial_cwd", local_dir)
    for destination in (pipeline.destination, pipeline.staging):
        if destination is not None and "local_dir" in destination.config_params:
            destination.config_params["local_dir"] = local_dir


def make_again(pipeline: dlt.Pipeline) -> None:
    """Make a pipeline anew in place: without state, in the folders of the active run context."""
    context = Container()[PluggableRunContext]
    config = pipeline.config.copy()
    config.runtime = config.runtime.copy()
    config.runtime.pluggable_run_context = context
    pipeline.__init__(  # type: ignore[misc]  # as `Pipeline.drop` does
        pipeline.pipeline_name,
        context.context.get_data_entity("pipelines"),
        pipeline.pipeline_salt,
        Destination.from_reference(pipeline.destination),
        Destination.from_reference(pipeline.staging),
        requested_dataset_name(pipeline),
        None,
        None,
        pipeline.dev_mode,
        pipeline.collector,
        False,
        config,
        refresh=pipeline.refresh,
    )


def requested_dataset_name(pipeline: dlt.Pipeline) -> str:
    """Return the name that a pipeline's dataset was given, without the suffix of `dev_mode`."""
    return pipeline.dataset_name.removesuffix(pipeline._pipeline_instance_id)


def set_default(key: str, value: Any, pipeline_name: str, *sections: str) -> None:
    """Set a value for one pipeline in the lowest provider, so that all others override it."""
    lowest = Container()[PluggableRunContext].providers.providers[-1]
    lowest.set_value(key, value, pipeline_name, *sections)
