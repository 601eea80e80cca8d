"""Helpers that existing suites import, by the names of the closed plugin's documentation.

They act on the sandbox of the test. Without a sandbox they refuse, as they would delete your own
data.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.destination.client import WithStagingDataset
from dlt.common.pipeline import current_pipeline
from dlt.common.storages import FileStorage

from dlthub_project import current
from dlthub_project.dlt_internals import contexts
from dlthub_project.sandbox import active_sandbox
from pytest_dlthub.assertions.run_checks import assert_no_failed_jobs
from pytest_dlthub.assertions.tables import TableReader

if TYPE_CHECKING:
    from dlt.common.configuration.specs.pluggable_run_context import RunContextBase
    from dlt.common.pipeline import LoadInfo

    from dlthub_project import ProjectRunContext

__all__ = [
    "IsInstanceMockMatch",
    "assert_load_info",
    "assert_records_as_set",
    "clean_test_storage",
    "delete_test_storage",
    "drop_active_pipeline_data",
    "get_local_dir",
    "get_test_project_context",
    "get_test_run_context",
    "load_table_counts",
    "load_tables_to_dicts",
]


class IsInstanceMockMatch:
    """Equal to every instance of a class: `assert_called_with(IsInstanceMockMatch(Schema))`."""

    def __init__(self, class_: type | tuple[type, ...]) -> None:
        """Make it for one class, or for several."""
        self.class_ = class_

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.class_)

    # what is equal to unequal objects has no hash
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.class_})"


def get_test_run_context() -> RunContextBase:
    """Return dlt's run context in this test: of the project, the workspace, or plain dlt.

    Raises:
        UsageError: There is no sandbox.
    """
    _check_sandbox("get_test_run_context")
    return contexts.active_run_context()


def get_test_project_context() -> ProjectRunContext:
    """Return the run context of the project in this test, on its test profile.

    Raises:
        UsageError: There is no sandbox.
        ProjectRunContextNotAvailable: There is no project.
    """
    _check_sandbox("get_test_project_context")
    return current.context()


def get_local_dir() -> str:
    """Return the folder of this test where destinations have their files.

    Raises:
        UsageError: There is no sandbox.
    """
    return get_test_run_context().local_dir


def delete_test_storage() -> None:
    """Delete `get_local_dir()` with everything in it, also what the test has loaded into files.

    Raises:
        UsageError: There is no sandbox, or the folder is not in it.
    """
    folder = Path(get_local_dir())
    sandbox = _check_sandbox("delete_test_storage")
    if not folder.resolve().is_relative_to(Path(sandbox).resolve()):
        raise pytest.UsageError(f"delete_test_storage: {folder} is not in the test's sandbox")
    if folder.exists():
        shutil.rmtree(folder)


def clean_test_storage() -> FileStorage:
    """Empty `get_local_dir()`, and return it.

    Raises:
        UsageError: There is no sandbox, or the folder is not in it.
    """
    delete_test_storage()
    return FileStorage(get_local_dir(), makedirs=True)


def drop_active_pipeline_data() -> None:
    """Drop what the active pipeline has loaded, staging data too, and deactivate it.

    The active pipeline is the one that was made, attached or run last. Without one, do nothing.

    Raises:
        UsageError: There is no sandbox.
    """
    _check_sandbox("drop_active_pipeline_data")
    pipeline = current_pipeline()
    if not isinstance(pipeline, dlt.Pipeline):
        return
    try:
        if pipeline.destination is not None and pipeline.dataset_name is not None:
            for schema in pipeline.schema_names:
                _drop(pipeline, schema)
    finally:
        pipeline.deactivate()


def assert_load_info(info: LoadInfo | None, expected_load_packages: int = 1) -> None:
    """Assert that this number of packages was loaded, completely, and that no job has failed.

    Args:
        info: The result of `pipeline.run`; None, for a run without data, counts as no package.
        expected_load_packages: The number of packages.

    Raises:
        AssertionError: The number differs, a package is not loaded, or a job has failed.
    """
    __tracebackhide__ = True
    packages = info.load_packages if info is not None else []
    states = {package.load_id: package.state for package in packages}
    if len(info.loads_ids if info is not None else []) != expected_load_packages:
        raise AssertionError(
            f"load packages: {len(states)} != {expected_load_packages} expected: {states}"
        )
    if unloaded := {name: state for name, state in states.items() if state != "loaded"}:
        raise AssertionError(f"load packages that are not loaded: {unloaded}")
    if info is not None:
        assert_no_failed_jobs(info)


def load_table_counts(pipeline: dlt.Pipeline, *tables: str) -> dict[str, int]:
    """Return the number of rows of tables in the dataset of a pipeline; by default all data tables.

    Raises:
        ValueError: There is no such table; the message has the nearest name.
    """
    return {name: len(rows) for name, rows in load_tables_to_dicts(pipeline, *tables).items()}


def load_tables_to_dicts(
    pipeline: dlt.Pipeline,
    *tables: str,
    exclude_system_cols: bool = False,
    sortkey: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of tables in the dataset of a pipeline, by table.

    Args:
        pipeline: The pipeline.
        *tables: The tables; all data tables, if none is named.
        exclude_system_cols: Whether to leave out dlt's own columns, `_dlt_id` and the like.
        sortkey: The column to sort by; by default the order of `run.rows`.

    Raises:
        ValueError: There is no such table; the message has the nearest name.
    """
    dataset = pipeline.dataset()
    names = tables or _data_tables(dataset)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        rows = [
            dict(row) for row in TableReader(dataset, name).rows(dlt_ids=not exclude_system_cols)
        ]
        found[name] = rows if sortkey is None else sorted(rows, key=lambda row: row[sortkey])
    return found


def assert_records_as_set(
    actual: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]
) -> None:
    """Assert that two lists have the same records, in any order.

    As in a set, a record that occurs twice counts once. `assert_rows`, and `==` of
    `run.rows(...)`, count each.

    Raises:
        AssertionError: They differ; the message lists missing and unexpected records.
    """
    __tracebackhide__ = True
    # records may have lists in them, which have no hash
    missing = [record for record in expected if record not in actual]
    extra = [record for record in actual if record not in expected]
    lines = [f"missing: {record}" for record in missing] + [f"not expected: {r}" for r in extra]
    if lines:
        more = [f"and {len(lines) - _MOST_RECORDS} more"] if len(lines) > _MOST_RECORDS else []
        raise AssertionError("\n".join(["records differ", *lines[:_MOST_RECORDS], *more]))


_MOST_RECORDS = 10


def _data_tables(dataset: dlt.Dataset) -> tuple[str, ...]:
    return tuple(name for name in dataset.tables if not name.startswith("_dlt_"))


def _check_sandbox(name: str) -> str:
    sandbox = active_sandbox()
    if sandbox is None:
        raise pytest.UsageError(
            f"{name}: there is no sandbox here. In plain dlt code, a test asks for one with the "
            "fixture dlt_isolated or one of pytest_dlthub.fixtures, or by ini dlt_isolation."
        )
    return sandbox.folder


def _drop(pipeline: dlt.Pipeline, schema: str) -> None:
    with pipeline.destination_client(schema) as client:
        if isinstance(client, WithStagingDataset):
            with client.with_staging_dataset():
                if client.is_storage_initialized():
                    client.drop_storage()
        if client.is_storage_initialized():
            client.drop_storage()
