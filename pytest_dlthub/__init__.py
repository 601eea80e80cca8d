"""Testing dlt projects, and any other dlt code, with pytest.

Everything public is imported from here, and loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlthub_project.errors import RemoteDestinationBlocked as RemoteDestinationBlocked
    from dlthub_project.faults.single_faults import Faults as Faults
    from pytest_dlthub.assertions import Rows as Rows
    from pytest_dlthub.assertions import table_rows as table_rows
    from pytest_dlthub.assertions.data_checks import ChecksFailed as ChecksFailed
    from pytest_dlthub.assertions.data_checks import assert_checks as assert_checks
    from pytest_dlthub.assertions.data_checks import raises_check as raises_check
    from pytest_dlthub.assertions.relation_checks import assert_columns as assert_columns
    from pytest_dlthub.assertions.relation_checks import assert_foreign_key as assert_foreign_key
    from pytest_dlthub.assertions.relation_checks import assert_not_null as assert_not_null
    from pytest_dlthub.assertions.relation_checks import assert_unique as assert_unique
    from pytest_dlthub.assertions.row_checks import assert_rows as assert_rows
    from pytest_dlthub.assertions.run_checks import assert_idempotent as assert_idempotent
    from pytest_dlthub.assertions.run_checks import assert_incremental as assert_incremental
    from pytest_dlthub.assertions.run_checks import assert_no_failed_jobs as assert_no_failed_jobs
    from pytest_dlthub.assertions.run_checks import (
        raises_contract_violation as raises_contract_violation,
    )
    from pytest_dlthub.crashes.crash_report import Crashes as Crashes
    from pytest_dlthub.dlt_items import DltItems as DltItems
    from pytest_dlthub.dlt_project import DltProject as DltProject
    from pytest_dlthub.dlt_run import DltRun as DltRun
    from pytest_dlthub.dlt_run import DltRuns as DltRuns
    from pytest_dlthub.pipeline_run import PipelineRun as PipelineRun
    from pytest_dlthub.transformation_run import ProjectTransformation as ProjectTransformation
    from pytest_dlthub.transformation_run import TransformationRun as TransformationRun

_HOME_OF = {
    "ChecksFailed": "pytest_dlthub.assertions.data_checks",
    "Crashes": "pytest_dlthub.crashes.crash_report",
    "DltItems": "pytest_dlthub.dlt_items",
    "DltProject": "pytest_dlthub.dlt_project",
    "DltRun": "pytest_dlthub.dlt_run",
    "DltRuns": "pytest_dlthub.dlt_run",
    "Faults": "dlthub_project.faults.single_faults",
    "PipelineRun": "pytest_dlthub.pipeline_run",
    "ProjectTransformation": "pytest_dlthub.transformation_run",
    "RemoteDestinationBlocked": "dlthub_project.errors",
    "Rows": "pytest_dlthub.assertions",
    "TransformationRun": "pytest_dlthub.transformation_run",
    "assert_checks": "pytest_dlthub.assertions.data_checks",
    "assert_columns": "pytest_dlthub.assertions.relation_checks",
    "assert_foreign_key": "pytest_dlthub.assertions.relation_checks",
    "assert_idempotent": "pytest_dlthub.assertions.run_checks",
    "assert_incremental": "pytest_dlthub.assertions.run_checks",
    "assert_no_failed_jobs": "pytest_dlthub.assertions.run_checks",
    "assert_not_null": "pytest_dlthub.assertions.relation_checks",
    "assert_rows": "pytest_dlthub.assertions.row_checks",
    "assert_unique": "pytest_dlthub.assertions.relation_checks",
    "raises_check": "pytest_dlthub.assertions.data_checks",
    "raises_contract_violation": "pytest_dlthub.assertions.run_checks",
    "table_rows": "pytest_dlthub.assertions",
}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
