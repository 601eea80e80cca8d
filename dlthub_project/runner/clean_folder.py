"""A run that starts without what earlier ones left on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlt.common import logger

from dlthub_project.dlt_internals import pipelines

if TYPE_CHECKING:
    import dlt
    from dlt.common.destination import TDestinationReferenceArg


def drop_working_folder(pipeline: dlt.Pipeline) -> None:
    """Drop the working folder of a pipeline, pending packages too; what it was made with stays.

    The next `run` restores state and schemas from the destination.
    """
    if pipeline.has_pending_data:
        logger.warning(
            f"Pipeline {pipeline.pipeline_name} runs from a clean folder: packages that an earlier "
            "run left pending are dropped"
        )
    local_dir, refresh = pipeline.get_local_state_val("initial_cwd"), pipeline.refresh
    pipeline.drop()
    # dlt forgets it
    pipeline.refresh = refresh
    pipelines.use_local_dir(pipeline, local_dir)


def restore(
    pipeline: dlt.Pipeline, destination: TDestinationReferenceArg, dataset_name: str | None
) -> None:
    """Restore state and schemas where the pipeline is configured not to do so in its run.

    Raises:
        PipelineStepFailed: The destination does not answer (step `sync`).
    """
    if pipeline.config.restore_from_destination or pipeline.dev_mode:
        return
    pipeline.activate()
    pipeline.sync_destination(destination, None, dataset_name)  # type: ignore[arg-type]  # or None
