"""Our own implementations of the hooks that plugins of users may implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_dlthub import destination_settings, finished_runs, masked_output

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dlthub.pipeline_run import PipelineRun
    from pytest_dlthub.templates.load_marks import Load


@pytest.hookimpl(tryfirst=True)
def pytest_dlt_run_finished(item: pytest.Item, run: PipelineRun) -> None:
    """Add the run to the fixture `dlt_runs`."""
    finished_runs.note_run(item, run)


@pytest.hookimpl(trylast=True)
def pytest_dlt_replace_destination(declared_type: str) -> str:
    """Choose a temporary DuckDB, or files for a destination that is files in production."""
    return destination_settings.temporary(declared_type)


def pytest_dlt_template_inputs(load: Load) -> tuple[Path, ...]:
    """Add the content of the files that a mark names in `depends_on`."""
    return load.depends_on


def pytest_dlt_mask(text: str) -> Sequence[str]:
    """Hide the secrets that dlt has resolved."""
    return masked_output.secrets_in(text)
