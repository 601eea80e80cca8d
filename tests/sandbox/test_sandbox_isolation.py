"""`isolated`: a block with folders of its own, and everything back as it was."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dlt
import pytest
from dlt.common.pipeline import current_pipeline

from dlthub_project.context import ProjectRunContext, ensure_project
from dlthub_project.sandbox import ENVIRONMENT_VARIABLE, Sandbox, active_sandbox, contexts, isolated


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(str(tmp_path / "sandbox"), None, str(tmp_path))


def load_one_row() -> dlt.Pipeline:
    pipeline = dlt.pipeline("one", destination="duckdb", dataset_name="data")
    pipeline.run([{"id": 1}], table_name="rows")
    return pipeline


def test_no_sandbox_is_active_outside_of_one() -> None:
    assert active_sandbox() is None
    assert not isinstance(dlt.current.run_context(), contexts.RunContext)


def test_everything_that_plain_code_writes_is_below_the_folder(
    sandbox: Sandbox, tmp_path: Path, home: Path
) -> None:
    with isolated(sandbox):
        pipeline = load_one_row()
        assert pipeline.working_dir == f"{sandbox.data_dir}/pipelines/one"
        assert dlt.current.run_context().global_dir == sandbox.global_dir
        assert Path(sandbox.local_dir, "one.duckdb").is_file()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "sandbox"]
    assert not list(home.iterdir())


def test_context_providers_and_active_pipeline_come_back(sandbox: Sandbox, shop: Path) -> None:
    context = ensure_project()
    dlt.config["added_by_hand"] = "kept"
    providers = dlt.current.run_context().initial_providers
    pipeline = dlt.pipeline("mine", destination="duckdb")

    with isolated(sandbox):
        load_one_row()
        assert dlt.config.get("added_by_hand") is None
        assert dlt.current.pipeline().pipeline_name == "one"

    assert dlt.current.run_context() is context
    assert dlt.current.run_context().initial_providers == providers
    assert dlt.config["added_by_hand"] == "kept"
    assert dlt.current.pipeline() is pipeline


def test_no_pipeline_is_active_at_first(sandbox: Sandbox, tmp_path: Path) -> None:
    with isolated(sandbox):
        load_one_row()
        with isolated(replace(sandbox, folder=str(tmp_path / "inner"))):
            assert current_pipeline() is None
        assert dlt.current.pipeline().pipeline_name == "one"


def test_environment_and_working_directory_come_back_down_to_the_process(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHANGED", "before")
    monkeypatch.setenv("REMOVED", "before")
    (tmp_path / "elsewhere").mkdir()

    with isolated(sandbox):
        os.environ["CHANGED"] = "after"
        os.environ["ADDED"] = "after"
        del os.environ["REMOVED"]
        os.chdir(tmp_path / "elsewhere")

    script = 'echo "$CHANGED,$REMOVED,${ADDED-unset},${DLTHUB_PROJECT_SANDBOX-unset}"'
    shell = subprocess.run(["sh", "-c", script], env=None, capture_output=True, text=True)
    assert shell.stdout == "before,before,unset,unset\n"
    assert Path.cwd() == tmp_path


def test_an_error_in_the_block_is_raised_after_everything_is_restored(sandbox: Sandbox) -> None:
    def fail() -> None:
        with isolated(sandbox):
            os.environ["ADDED"] = "x"
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()

    assert "ADDED" not in os.environ
    assert active_sandbox() is None


def test_project_under_test_is_found_and_its_folders_are_the_sandbox(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(str(tmp_path / "sandbox"), str(shop), str(tmp_path))

    with isolated(sandbox):
        context = dlt.current.run_context()
        assert isinstance(context, ProjectRunContext)
        assert context.project.data_dir == sandbox.data_dir
        assert context.data_dir == sandbox.data_dir
        assert context.local_dir == context.project.local_dir == sandbox.local_dir
        dlt.hub.current.project.runner().run_pipeline("load_orders")

    assert not (shop / "_data").exists()


def test_switching_the_profile_stays_in_the_sandbox(shop: Path, tmp_path: Path) -> None:
    sandbox = Sandbox(str(tmp_path / "sandbox"), str(shop), str(shop))

    with isolated(sandbox):
        context = dlt.hub.current.project.context().switch_profile("access")

        assert context.profile == "access"
        assert context.data_dir == sandbox.data_dir
        assert context.global_dir == sandbox.global_dir


@pytest.mark.parametrize("kind", ["plain", "workspace", "project"])
def test_run_context_goes_to_processes_that_dlt_starts(
    shop: Path, tmp_path: Path, kind: str
) -> None:
    if kind != "project":
        (shop / "dlt.yml").unlink()
    if kind == "workspace":
        (shop / ".dlt").mkdir()
        (shop / ".dlt" / ".workspace").touch()
    # its providers hide secrets, and are none to be pickled
    sandbox = Sandbox(str(tmp_path / "sandbox"), str(shop), str(shop), secrets="none")

    with isolated(sandbox):
        context = dlt.current.run_context()
        dlt.pipeline("one", destination="duckdb")
        again = pickle.loads(pickle.dumps(context))

    assert type(again) is type(context)
    assert again.data_dir == sandbox.data_dir


def test_code_that_changes_into_another_project_gets_that_one(
    shop: Path, write_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = write_project("project: {name: other}", folder="other", enter=False)

    with isolated(Sandbox(str(tmp_path / "sandbox"), str(shop), str(shop))) as sandbox:
        os.chdir(other)
        project = dlt.hub.current.project.config()

        assert project.name == "other"
        assert project.data_dir == sandbox.data_dir


def test_subprocesses_are_in_the_sandbox_too(
    sandbox: Sandbox, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    code = "import dlt; print(dlt.pipeline('sub', destination='duckdb').working_dir)"

    with isolated(sandbox):
        assert ENVIRONMENT_VARIABLE in os.environ
        printed = run_python(code, tmp_path)

    assert printed.strip() == f"{sandbox.data_dir}/pipelines/sub"


def test_it_imports_no_dlt_by_itself(tmp_path: Path, run_bare_python: Callable[..., str]) -> None:
    code = """
        import sys
        from dlthub_project.sandbox import Sandbox, isolated

        with isolated(Sandbox("/nowhere", None, "/")):
            pass
        print([name for name in ("dlt", "pydantic", "yaml", "duckdb") if name in sys.modules])
    """

    assert run_bare_python(code, tmp_path).strip() == "[]"
    assert "dlt" in sys.modules
