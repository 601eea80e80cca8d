"""How the manifest, or a layer above it, has a pipeline run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlthub_project.context import run_config_value

_NUMBERS = {"max_attempts": int, "multiplier": float, "min": float, "max": float}


@dataclass(frozen=True)
class RunConfig:
    """The `run_config` of a pipeline.

    Attributes:
        store_trace_info: Whether traces are stored, or the pipeline that stores them.
        run_from_clean_folder: Whether the working folder is dropped first.
        retry_policy: How often, and after how long, a failed step is tried again; None for never.
        retry_pipeline_steps: The steps that may be; None for the default.
    """

    store_trace_info: bool | str = False
    run_from_clean_folder: bool = False
    retry_policy: dict[str, Any] | None = None
    retry_pipeline_steps: list[str] | None = None


def run_config(pipeline: str) -> RunConfig:
    """Return how the active project has `pipeline` run; each value may stand in any layer.

    Raises:
        ManifestError: An environment variable that it uses is not set.
        ConfigValueCannotBeCoercedException: A value has another type.
    """
    return RunConfig(
        _flag_or_name(run_config_value(pipeline, ["store_trace_info"], str)),
        bool(run_config_value(pipeline, ["run_from_clean_folder"], bool)),
        _policy(pipeline),
        run_config_value(pipeline, ["retry_pipeline_steps"], list[str]),
    )


def _policy(pipeline: str) -> dict[str, Any] | None:
    kind = run_config_value(pipeline, ["retry_policy", "type"], str)
    if kind is None or kind == "none":
        return None
    values = {
        key: run_config_value(pipeline, ["retry_policy", key], hint)
        for key, hint in _NUMBERS.items()
    }
    return {"type": kind, **{key: value for key, value in values.items() if value is not None}}


def _flag_or_name(value: str | None) -> bool | str:
    flags = {"": False, "false": False, "true": True}
    return False if value is None else flags.get(value.lower(), value)
