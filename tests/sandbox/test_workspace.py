"""A dlt workspace in a sandbox: dlt's own profiles, and folders of the test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dlt
import pytest

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox

FILES = {
    ".dlt/.workspace": "",
    ".dlt/config.toml": 'greeting = "everybody"\nplace = "base"\n',
    ".dlt/tests.config.toml": 'greeting = "tests"\n',
    ".dlt/prod.config.toml": 'greeting = "prod"\n',
    ".dlt/prod.secrets.toml": """
        [destination.warehouse]
        destination_type = "postgres"
        credentials = "postgresql://u:p@db.invalid/prod"
    """,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is the working directory, on profile tests."""
    root = tmp_path / "workspace"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.chdir(root)
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    return root


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_context_is_known_to_dlt_as_that_of_a_workspace(
    make_sandbox: MakeSandbox, workspace: Path
) -> None:
    with isolated(make_sandbox(project=workspace)):
        context = dlt.current.run_context()

        assert type(context).__name__ == "WorkspaceRunContext"
        # dlt's own check
        assert dlt.current.workspace().profile == "tests"
        assert context.name == "workspace"
        assert context.run_dir == str(workspace)


def test_values_are_those_of_the_profile_in_the_environment(
    make_sandbox: MakeSandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with isolated(make_sandbox("first", project=workspace)):
        assert dlt.config["greeting"] == "tests"
        assert dlt.config["place"] == "base"
    monkeypatch.setenv("WORKSPACE__PROFILE", "prod")
    with isolated(make_sandbox("second", project=workspace)):
        assert dlt.config["greeting"] == "prod"


def test_everything_is_written_below_the_sandbox(
    make_sandbox: MakeSandbox, workspace: Path, home: Path
) -> None:
    before = files_of(workspace)

    with isolated(make_sandbox(project=workspace)) as sandbox:
        pipeline = dlt.pipeline("load", destination="warehouse", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="rows")
        context = dlt.current.run_context()
        for folder in (context.data_dir, context.local_dir, context.global_dir):
            assert Path(folder).is_relative_to(sandbox.folder)
        assert Path(pipeline.working_dir).is_relative_to(sandbox.folder)
        assert Path(sandbox.local_dir, "warehouse-test.duckdb").is_file()
        assert pipeline.dataset().table("rows").select("id").fetchall() == [(1,)]

    assert files_of(workspace) == before
    assert files_of(home) == []


def test_switching_to_production_stays_in_the_sandbox_and_replaced(
    make_sandbox: MakeSandbox, workspace: Path
) -> None:
    with isolated(make_sandbox(project=workspace)) as sandbox:
        context = dlt.current.workspace().switch_profile("prod")
        assert dlt.config["greeting"] == "prod"
        assert Path(context.data_dir).is_relative_to(sandbox.folder)

    assert not Path(workspace, ".dlt", "profile-name").exists()


def test_destination_of_the_profiles_own_files_is_left_to_them_and_guarded(
    make_sandbox: MakeSandbox, workspace: Path
) -> None:
    Path(workspace, ".dlt", "tests.secrets.toml").write_text(
        Path(workspace, ".dlt", "prod.secrets.toml").read_text()
    )

    with isolated(make_sandbox(project=workspace)):
        pipeline = dlt.pipeline("load", destination="warehouse", dataset_name="data")
        with pytest.raises(RemoteDestinationBlocked, match="test profile"):
            pipeline.run([{"id": 1}], table_name="rows")


def test_subprocess_is_in_the_workspace_and_the_sandbox(
    make_sandbox: MakeSandbox, workspace: Path, run_python: Callable[..., str]
) -> None:
    code = """
        import dlt

        context = dlt.current.run_context()
        print(type(context).__name__, context.profile, context.data_dir)
    """

    with isolated(make_sandbox(project=workspace)) as sandbox:
        printed = run_python(code, workspace)

    assert printed.split() == ["WorkspaceRunContext", "tests", sandbox.data_dir]
