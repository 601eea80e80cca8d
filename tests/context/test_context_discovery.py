"""Which folder is the project: asked for, named by the environment, or found upwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project import ProjectRunContextNotAvailable, current, ensure_project
from dlthub_project.context import find_project_dir
from dlthub_project.dlt_internals import contexts

WriteProject = Callable[..., Path]


def active_run_dir() -> Path:
    return Path(contexts.active_run_context().run_dir)


def test_the_project_of_the_working_directory_is_found(shop: Path) -> None:
    assert find_project_dir() == shop


def test_the_project_of_a_folder_below_is_found(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = shop / "sources" / "deep"
    below.mkdir()
    monkeypatch.chdir(below)

    assert find_project_dir() == shop
    assert active_run_dir() == shop


def test_of_nested_projects_the_nearest_is_found(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = write_project("", folder="outer")
    inner = write_project("", folder="outer/team/inner")

    assert find_project_dir() == inner
    monkeypatch.chdir(outer / "team")
    assert find_project_dir() == outer


def test_a_workspace_inside_of_a_project_stays_a_workspace(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project("", {"ws/.dlt/.workspace": "", "ws/below/x.txt": ""})

    monkeypatch.chdir(root / "ws" / "below")
    assert find_project_dir() is None
    monkeypatch.chdir(root / "ws")
    assert find_project_dir() is None
    context = contexts.active_run_context()
    assert type(context).__name__ == "WorkspaceRunContext"
    assert Path(context.run_dir) == root / "ws"


def test_a_folder_that_is_both_is_a_project(write_project: WriteProject) -> None:
    root = write_project("", {".dlt/.workspace": ""})

    assert find_project_dir() == root


def test_a_project_inside_of_a_workspace_is_found(
    write_project: WriteProject, tmp_path: Path
) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / ".workspace").touch()
    root = write_project("")

    assert find_project_dir() == root


def test_the_environment_names_the_project(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = write_project("", folder="named")
    write_project("", folder="here")
    monkeypatch.setenv("DLT_PROJECT_DIR", str(named))

    assert find_project_dir() == named
    assert active_run_dir() == named


def test_a_folder_that_is_asked_for_wins_over_the_environment(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = write_project("", folder="named")
    asked = write_project("", folder="asked")
    monkeypatch.setenv("DLT_PROJECT_DIR", str(named))

    assert find_project_dir(str(asked)) == asked


def test_a_folder_that_is_asked_for_is_not_searched_upwards(shop: Path) -> None:
    assert find_project_dir(str(shop / "sources")) is None


def test_a_named_folder_without_a_project_is_not_searched_upwards(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(shop / "sources"))

    assert find_project_dir() is None


def test_a_relative_folder_is_made_absolute(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop / "sources")

    assert find_project_dir("..") == shop


def test_a_folder_called_dlt_yml_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "dlt.yml").mkdir()

    assert find_project_dir() is None


def test_an_error_says_where_a_project_was_looked_for_and_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectRunContextNotAvailable) as caught:
        ensure_project()

    assert str(caught.value) == (
        f"No dltHub Project: there is no dlt.yml in {tmp_path} or in a folder above it.\n"
        "Put an empty file dlt.yml into the root folder of your project (`dlt project init` makes "
        "a whole one), or name the folder: `--project DIR` at the command line, "
        "`ensure_project(run_dir=...)` in code, or the environment variable DLT_PROJECT_DIR."
    )


def test_an_error_names_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ProjectRunContextNotAvailable) as caught:
        ensure_project("nowhere")

    assert f"there is no dlt.yml in {tmp_path / 'nowhere'}." in caught.value.reason


def test_an_error_names_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path / "gone"))

    with pytest.raises(ProjectRunContextNotAvailable) as caught:
        ensure_project()

    assert f"no dlt.yml in {tmp_path / 'gone'}, which DLT_PROJECT_DIR names" in str(caught.value)


def test_an_error_names_the_workspace_that_ended_the_search(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project("", {"ws/.dlt/.workspace": "", "ws/below/x.txt": ""})
    monkeypatch.chdir(root / "ws" / "below")

    with pytest.raises(ProjectRunContextNotAvailable) as caught:
        ensure_project()

    assert f"belongs to the workspace {root / 'ws'}, which has no dlt.yml" in str(caught.value)


@pytest.mark.parametrize("name", ["context", "config", "project", "entities", "runner", "catalog"])
def test_everything_current_is_an_error_outside_of_a_project(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectRunContextNotAvailable) as caught:
        getattr(current, name)()

    assert f"there is no dlt.yml in {tmp_path}" in caught.value.reason
    assert "Put an empty file dlt.yml" in caught.value.instruction


def test_a_project_that_was_entered_after_the_first_use_of_dlt_is_to_be_activated(
    write_project: WriteProject,
) -> None:
    contexts.active_run_context()
    root = write_project("")

    with pytest.raises(ProjectRunContextNotAvailable) as caught:
        current.project()

    assert f"dlt was first used outside of {root}" in caught.value.reason
    assert "ensure_project()" in caught.value.instruction
    ensure_project()
    assert current.project().root_dir == str(root)


NAMED = """
    project: {{name: {name}}}
    api: {{url: of {name}}}
    destinations: {{lake: {{type: duckdb}}}}
"""
WHO_AM_I = """
    import dlt
    pipeline = dlt.pipeline("plain", destination="lake", dataset_name="data")
    pipeline.run([{"id": 1}], table_name="items")
    print(dlt.hub.current.project.config().name, "|", dlt.config["api.url"])
    print(pipeline.working_dir)
"""


@pytest.mark.slow
def test_plain_dlt_code_in_a_nested_project_is_in_the_nearest_one(
    write_project: WriteProject, run_python: Callable[..., str]
) -> None:
    outer = write_project(NAMED.format(name="outer"), folder="outer")
    inner = write_project(
        NAMED.format(name="inner"), {"jobs/nightly/job.py": ""}, folder="outer/inner"
    )
    (outer / "jobs").mkdir()

    assert run_python(WHO_AM_I, inner / "jobs" / "nightly").splitlines() == [
        "inner | of inner",
        str(inner / "_data/dev/pipelines/plain"),
    ]
    assert run_python(WHO_AM_I, outer / "jobs").splitlines() == [
        "outer | of outer",
        str(outer / "_data/dev/pipelines/plain"),
    ]


def test_plain_dlt_code_elsewhere_is_in_the_project_that_the_environment_names(
    write_project: WriteProject, run_python: Callable[..., str], tmp_path: Path
) -> None:
    root = write_project(NAMED.format(name="far"), folder="far")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    printed = run_python(WHO_AM_I, elsewhere, DLT_PROJECT_DIR=str(root))

    assert printed.splitlines() == ["far | of far", str(root / "_data/dev/pipelines/plain")]
    assert list(elsewhere.iterdir()) == []


def test_a_workspace_without_a_manifest_stays_that_of_dlt(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    settings = tmp_path / ".dlt"
    settings.mkdir()
    (settings / ".workspace").touch()
    (settings / "prod.config.toml").write_text("[api]\nurl = 'of prod'\n")
    code = """
        import dlt
        from dlthub_project import ProjectRunContextNotAvailable, current
        print(type(dlt.current.run_context()).__module__.partition(".")[0])
        print(dlt.current.workspace().profile, dlt.config["api.url"])
        try:
            current.config()
        except ProjectRunContextNotAvailable as error:
            print(error.reason)
    """

    printed = run_python(code, tmp_path, WORKSPACE__PROFILE="prod")

    assert printed.splitlines() == [
        "dlt",
        "prod of prod",
        f"No dltHub Project: {tmp_path} belongs to the workspace {tmp_path}, which has no dlt.yml.",
    ]


def test_outside_of_a_project_the_context_is_that_of_dlt(tmp_path: Path) -> None:
    context = contexts.active_run_context()

    assert type(context) is contexts.PlainRunContext
    assert os.path.abspath(context.run_dir) == str(tmp_path)
    assert os.listdir(tmp_path) == []
