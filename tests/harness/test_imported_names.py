"""What suites of the closed plugin import: such a suite, and what happens without a sandbox."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import snapshot

from pytest_dlthub import utils

PROJECTS = Path(__file__).parents[1] / "projects"

RunTests = Callable[..., pytest.RunResult]


def test_a_suite_runs_after_the_imported_name_has_changed(
    pytester: pytest.Pytester, run_pytest: RunTests, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = pytester.path / "imported"
    shutil.copytree(PROJECTS / "imported", project)
    monkeypatch.chdir(project)
    before = snapshot(project, home)

    result = run_pytest("-p", "no:cacheprovider", "--strict-markers", "-W", "error")

    result.assert_outcomes(passed=11)
    assert snapshot(project, home) == before


@pytest.mark.parametrize(
    "helper",
    [
        utils.get_test_run_context,
        utils.get_test_project_context,
        utils.get_local_dir,
        utils.clean_test_storage,
        utils.delete_test_storage,
        utils.drop_active_pipeline_data,
    ],
)
def test_nothing_is_deleted_where_there_is_no_sandbox(
    helper: Callable[[], object], tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()

    with pytest.raises(pytest.UsageError, match="there is no sandbox here"):
        helper()

    assert (tmp_path / "mine").exists()
