"""Where loads go: only what is in the sandbox of a template can be copied for each test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dlthub_project.dlt_internals import destinations
from dlthub_project.sandbox import Sandbox, is_local, short_type

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination

    from pytest_dlthub.run import PipelineRun

_INSTEAD = (
    "Run the pipeline in each test, with dlt_run or dlt_project.run, or once in a fixture of your "
    "own, with dlt_project_factory."
)


def check_destination(destination: AnyDestination, sandbox: Sandbox) -> None:
    """Make sure, before a load, that what it loads can be copied.

    Args:
        destination: Where it loads to.
        sandbox: That of the template.

    Raises:
        UsageError: All tests would share it.
    """
    name, kind = destination.destination_name, short_type(destination)
    if name in sandbox.owned:
        return
    # of the test's other folders there are no copies
    if not is_local(destination, replace(sandbox, local_roots=())):
        raise pytest.UsageError(
            f"dlt_load: what is loaded into destination `{name}` ({kind}) cannot be copied for "
            f"each test: its place is not in the test's sandbox. {_INSTEAD}"
        )
    if kind == "filesystem" and _bucket_of(destination).startswith("memory:"):
        raise _in_memory(name, kind)


def check_run(run: PipelineRun, sandbox: Sandbox) -> None:
    """Make sure, after a load, that what it has loaded can be copied.

    Raises:
        UsageError: It cannot.
    """
    pipeline = run.pipeline
    name, kind = pipeline.destination.destination_name, short_type(pipeline.destination)
    if pipeline.dev_mode:
        raise pytest.UsageError(
            f"dlt_load: pipeline `{pipeline.pipeline_name}` is in dev_mode: it begins anew each "
            "time, and would not find what was loaded. Leave dev_mode out in tests: their "
            "sandboxes are new anyway."
        )
    if kind != "duckdb" or name in sandbox.owned:
        return
    path = run.database_path
    if path is None:
        raise _in_memory(name, kind)
    if not replace(sandbox, local_roots=()).is_local_path(str(path)):
        raise pytest.UsageError(
            f"dlt_load: what is loaded into destination `{name}` cannot be copied for each test: "
            f"{path} is not in the test's sandbox. {_INSTEAD}"
        )


def _in_memory(name: str, kind: str) -> pytest.UsageError:
    return pytest.UsageError(
        f"dlt_load: what is loaded into destination `{name}` ({kind}) cannot be copied for each "
        f"test: it is in memory. {_INSTEAD}"
    )


def _bucket_of(destination: AnyDestination) -> str:
    bucket = destination.config_params.get("bucket_url")
    return str(bucket or destinations.configured_bucket(destination.destination_name) or "")
